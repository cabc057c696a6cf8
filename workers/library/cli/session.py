"""Shared parts of the library commands: open the library, select models, print untrusted text."""

import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, load_settings
from schemas.library.model_views import FileView, ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library
from stores.library.search import SearchFilter
from stores.sql.errors import sql_errors

PAGE_SIZE = 200
MAX_ID_DIGITS = 16
TERMINATED_EXIT_CODE = 143
# Search terms may start with a dash (exclude); click must not take them for options.
SEARCH_CONTEXT = {"ignore_unknown_options": True}


@contextlib.contextmanager
def open_library() -> Iterator[tuple[Settings, Library]]:
    """Load the settings, migrate the database and open the library.

    Translates errors of the file system into click errors. While it is open, SIGTERM raises SystemExit, so that locks
    are released and temporary files deleted.
    """
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED_EXIT_CODE))
    try:
        settings = load_settings()
        with sql_errors():
            migrate(settings.database_url)
        engine = open_database(settings.database_url)
        try:
            yield settings, Library.from_engine(engine, SystemClock())
        finally:
            engine.dispose()
    except OSError as error:
        raise click.ClickException(printable(f"{error.strerror}: {error.filename}")) from error
    finally:
        signal.signal(signal.SIGTERM, previous)


def printable(text: str) -> str:
    """Escape control and bidirectional characters, so that untrusted names cannot alter the terminal or the line."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """Return the content of a regular file without following links.

    Raises:
        OSError: the file cannot be opened or read.
        ValueError: it is not a regular file, or larger than ``max_bytes``.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        if status.st_size > max_bytes:
            raise ValueError(f"{status.st_size} bytes; at most {max_bytes} are read")
        return file.read(max_bytes)


def require_roots(settings: Settings) -> tuple[Path, ...]:
    """Return the library's folders; raise UsageError if MODELS_DIR is not set."""
    if not settings.models_dir:
        raise click.UsageError("There is no library: set MODELS_DIR to its folders, separated by ':'.")
    return settings.models_dir


def find_models(library: Library, terms: tuple[str, ...]) -> Iterator[ModelView]:
    """Yield the models that a search finds, in its order. Terms that are all numbers are taken as model ids."""
    if terms and all(term.isascii() and term.isdigit() for term in terms):
        yield from (library.models.get(int(term) if len(term) <= MAX_ID_DIGITS else 0) for term in terms)
        return
    query = parse_query(" ".join(terms))
    search_filter = SearchFilter({}, query, query.order or SortOrder(SortKey.NAME, descending=False))
    cursor, has_more = None, True
    while has_more:
        page = library.search.find_page(search_filter, limit=PAGE_SIZE, cursor=cursor)
        yield from library.models.get_many(page.ids, with_versions=True)
        cursor, has_more = page.next_cursor, page.next_cursor is not None


def present_files(model: ModelView) -> Iterator[FileView]:
    """Yield the files of a model that are on disk."""
    for version in model.versions:
        yield from (file for file in version.files if file.is_present)
