"""Translation of database errors into ServiceErrors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, SQLAlchemyError

from schemas.errors import Invalid, Unavailable

RETRY_AFTER_S = 2


@contextmanager
def sql_errors() -> Iterator[None]:
    """Raise Unavailable when the database fails, and Invalid for values that no column can hold.

    PostgreSQL rejects NUL in text and numbers beyond 64 bits; SQLite's driver rejects such numbers with OverflowError.
    """
    try:
        yield
    except (DataError, OverflowError) as error:
        raise Invalid("Id or number out of range.") from error
    except SQLAlchemyError as error:
        raise Unavailable("The database does not answer.", retry_after_s=RETRY_AFTER_S) from error
