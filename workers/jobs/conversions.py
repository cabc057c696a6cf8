"""The conversion of finished pictures into other formats, away from the processes that answer requests."""

from stores import Stores
from workers.images.convert import FORMATS, convert


def convert_result(stores: Stores, job_id: str, form: str) -> None:
    """Make the job's picture available as ``form``, unless it has expired."""
    original = stores.results.original(job_id)
    if original is not None and form in FORMATS:
        stores.results.keep_converted(job_id, form, convert(original, form))
