"""Translation of database errors into ServiceErrors."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, SQLAlchemyError

from ops.infra.logging import describe_error
from schemas.errors import Invalid, Unavailable

RETRY_AFTER_S = 2
# SQLite (with its journal, and with its shared memory file), PostgreSQL.
FULL_MESSAGES = ("database or disk is full", "disk I/O error", "No space left on device")


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
        is_full = any(words in str(error) for words in FULL_MESSAGES)
        message = "The database's disk is full; nothing was stored." if is_full else "The database does not answer."
        raise Unavailable(message, retry_after_s=RETRY_AFTER_S, reason=describe_error(error)) from error
