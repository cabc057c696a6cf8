"""Conversion of finished images into other formats, outside the processes that answer requests."""

from schemas.images import formats
from stores import Stores
from workers.images.convert import convert


def convert_result(stores: Stores, job_id: str, image_format: str) -> None:
    """Store the job's first image as ``image_format``, unless the original has expired or the format is unknown."""
    original = stores.results.get_original(job_id)
    if original is not None and image_format in formats.OUTPUT:
        stores.results.store_converted(job_id, image_format, convert(original, image_format))
