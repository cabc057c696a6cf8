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
from schemas.library.model_views import ShownFile, ShownModel
from schemas.library.search_query import Order, Sort, read_query
from stores.library import Library
from stores.library.search import Wanted
from stores.sql.errors import sql_errors

PAGE = 200
# No id has more digits.
LONGEST_ID = 16
# A word of a search may begin with a dash: whoever has it is not wanted.
SEARCHING = {"ignore_unknown_options": True}


@contextlib.contextmanager
def opened() -> Iterator[tuple[Settings, Library]]:
    """The settings and the library; errors of ours become a line and an exit code."""
    try:
        settings = load_settings()
        with sql_errors():
            migrate(settings.database_url)
        engine = open_database(settings.database_url)
        try:
            yield settings, Library.of(engine, SystemClock())
        finally:
            engine.dispose()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        raise click.UsageError(" ".join(error.problems)) from error
    except ServiceError as error:
        raise click.ClickException(error.message) from error
    except OSError as error:
        raise click.ClickException(plain(f"{error.strerror}: {error.filename}")) from error


def plain(text: str) -> str:
    """A line as a terminal may show it: what would end it, turn its direction or do worse is spelled out."""
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)


def content_of(path: Path, most: int) -> bytes:
    """The bytes of a regular file that is no link; raises OSError, and ValueError if it has more than ``most``."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file")
        if about.st_size > most:
            raise ValueError(f"it has {about.st_size} bytes, more than {most}")
        return file.read(most)


def require_roots(settings: Settings) -> tuple[Path, ...]:
    """The library's folders; says so if there are none."""
    if not settings.models_dir:
        raise click.UsageError("There is no library: set MODELS_DIR to its folders, with ':' between them.")
    return settings.models_dir


def found_by(library: Library, words: tuple[str, ...]) -> Iterator[ShownModel]:
    """The models that a search finds, whole, in its order; with numbers alone, the models of these ids."""
    if words and all(word.isascii() and word.isdigit() for word in words):
        yield from (library.shelf.get(int(word) if len(word) <= LONGEST_ID else 0) for word in words)
        return
    query = read_query(" ".join(words))
    wanted = Wanted({}, query, query.order or Order(Sort.NAME, descending=False))
    cursor, more = None, True
    while more:
        page = library.listing.page(wanted, limit=PAGE, cursor=cursor)
        yield from library.shelf.some(page.ids, with_versions=True)
        cursor, more = page.following, page.following is not None


def files_of(model: ShownModel) -> Iterator[ShownFile]:
    """A model's files that are there."""
    for version in model.versions:
        yield from (file for file in version.files if file.present)
