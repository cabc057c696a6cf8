"""Conversion of finished images into other formats, outside the processes that answer requests."""

from schemas.images import formats
from stores import Stores
from workers.images.convert import convert, make_view


def convert_result(stores: Stores, job_id: str, image_format: str, number: int = 1) -> None:
    """Store one of the job's images as ``image_format``, or the scaled-down copy of the image that it names.

    Nothing is stored if the original has expired or the format is unknown.
    """
    view = formats.VIEW_NAME.fullmatch(image_format)
    original = stores.results.get_original(job_id, int(view[1]) if view else number)
    if original is None or not (view or image_format in formats.OUTPUT):
        return
    converted = make_view(original) if view else convert(original, image_format)
    stores.results.store_converted(job_id, image_format, converted, number)
