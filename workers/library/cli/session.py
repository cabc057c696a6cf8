"""What the library's commands share: the library of this machine's settings, opened, and how models are named."""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, SettingsError, load_settings
from schemas.errors import Invalid, ServiceError
from schemas.library.model_views import FileView, ModelView
from schemas.library.search_query import SortKey, SortOrder, parse_query
from stores.library import Library
from stores.library.search import SearchFilter
from stores.sql.errors import sql_errors

PAGE_SIZE = 200
# No id has more digits.
MAX_ID_DIGITS = 16
# A word of a search may begin with a dash: whoever has it is not wanted.
SEARCH_CONTEXT = {"ignore_unknown_options": True}


@contextlib.contextmanager
def open_library() -> Iterator[tuple[Settings, Library]]:
    """The settings and the library; errors of ours become a line and an exit code."""
    try:
        settings = load_settings()
        with sql_errors():
            migrate(settings.database_url)
        engine = open_database(settings.database_url)
        try:
            yield settings, Library.from_engine(engine, SystemClock())
        finally:
            engine.dispose()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        raise click.UsageError(" ".join(error.problems)) from error
    except ServiceError as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(printable(f"{error.strerror}: {error.filename}")) from error


def printable(text: str) -> str:
    """A line as a terminal may show it: what would end it, turn its direction or do worse is spelled out."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def read_regular_file(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file that is no link; raises OSError, and ValueError if it has more than ``most``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file")
        if about.st_size > max_bytes:
            raise ValueError(f"it has {about.st_size} bytes, more than {max_bytes}")
        return file.read(max_bytes)


def require_roots(settings: Settings) -> tuple[Path, ...]:
    """The library's folders; says so if there are none."""
    if not settings.models_dir:
        raise click.UsageError("There is no library: set MODELS_DIR to its folders, with ':' between them.")
    return settings.models_dir


def find_models(library: Library, terms: tuple[str, ...]) -> Iterator[ModelView]:
    """The models that a search finds, whole, in its order; with numbers alone, the models of these ids."""
    if terms and all(word.isascii() and word.isdigit() for word in terms):
        yield from (library.models.get(int(word) if len(word) <= MAX_ID_DIGITS else 0) for word in terms)
        return
    query = parse_query(" ".join(terms))
    wanted = SearchFilter({}, query, query.order or SortOrder(SortKey.NAME, descending=False))
    cursor, more = None, True
    while more:
        page = library.search.find_page(wanted, limit=PAGE_SIZE, cursor=cursor)
        yield from library.models.get_many(page.ids, with_versions=True)
        cursor, more = page.next_cursor, page.next_cursor is not None


def present_files(model: ModelView) -> Iterator[FileView]:
    """A model's files that are there."""
    for version in model.versions:
        yield from (file for file in version.files if file.present)
