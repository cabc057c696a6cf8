"""The translation of what the database throws, for the stores that read while somebody waits."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, SQLAlchemyError

from schemas.errors import Invalid, Unavailable

RETRY_AFTER_S = 2


@contextmanager
def sql_errors() -> Iterator[None]:
    """Translate what the database throws when it cannot serve, or is given what it cannot hold.

    PostgreSQL refuses NUL in texts and numbers beyond 64 bits, the driver of SQLite the latter, before it is asked.
    """
    try:
        yield
    except (DataError, OverflowError) as error:
        raise Invalid("An id or a number is none that the database could hold.") from error
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.", retry_after_s=RETRY_AFTER_S) from error
