"""Owns the translation of what the database throws, for the stores that read while somebody waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from schemas.errors import Unavailable

RETRY_AFTER_S = 2


@contextmanager
def sql_errors() -> Iterator[None]:
    """Translate what the database throws when it cannot serve."""
    try:
        yield
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.", retry_after_s=RETRY_AFTER_S) from error
