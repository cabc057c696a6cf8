"""Owns the conversion of finished pictures into other formats, away from the processes that answer requests.

Called by the courier's actor; asked for by ``api.pictures``.
"""

from stores import Stores
from workers import pictures


def convert(stores: Stores, job_id: str, form: str) -> None:
    """Make the job's picture available as ``form``, unless it has expired."""
    original = stores.results.original(job_id)
    if original is not None and form in pictures.FORMATS:
        stores.results.keep_converted(job_id, form, pictures.convert(original, form))
