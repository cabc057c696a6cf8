"""The library's commands that look: scan, watch, list, show, verify. Run by ``workers.library.__main__``.

The database is all that they need; where a Darkroom runs and looks after the library, it is asked to scan instead.
"""

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from ops.infra.clock import SystemClock
from ops.infra.logging import configure_logging
from ops.infra.redis import connect, disconnect
from ops.infra.settings import Settings
from schemas.errors import Forbidden, NotFound, Unavailable
from schemas.library.model_views import ShownFile, ShownModel
from schemas.library.scan_records import Kind
from stores import open_stores
from stores.library import Library
from stores.library.index.file_hashes import Unhashed
from stores.library.maintenance import SCANNING
from stores.library.scan_requests import Scans
from workers.library.cli.import_export import backup, export, import_, restore
from workers.library.cli.session import SEARCHING, files_of, found_by, opened, plain, require_roots
from workers.library.indexer import Librarian
from workers.library.leader_lock import Duty
from workers.library.scanner.hash_file import Changed, Pace, digest
from workers.library.scanner.scan import Part, Progress, Scan

WRONG_EXIT_CODE = 1
WAIT_S = 2.0

console = Console(highlight=False, soft_wrap=True, stderr=True)


@click.group()
def library() -> None:
    """Scan, search, check and export the model library in the folders of MODELS_DIR."""


for one in (backup, export, import_, restore):
    library.add_command(one)


@library.command()
@click.option("--full", is_flag=True, help="Read every file again, not only what has changed.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON, with the time and the memory that it took.")
def scan(*, full: bool, as_json: bool) -> None:
    """Compare the library with the disk now."""
    began = time.monotonic()
    with opened() as (settings, kept):
        roots = require_roots(settings)
        with _holding(kept) as duty, _bar() as tell:
            done = None if duty.held() else _ask(settings, duty, tell, full=full)
            if done is None:
                kept.recording.forget_roots([str(root) for root in roots])
                parts = [Part(root, full=full) for root in roots]
                done = Scan(kept.recording, roots, tell, duty.held).run(parts).view()
    if as_json:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        click.echo(json.dumps(done | {"seconds": time.monotonic() - began, "memoryMb": peak_mb}))
    else:
        _print_done(done)


@library.command()
def watch() -> None:
    """Look after the library until Ctrl-C: index what changes in its folders, hash it, compare all now and then."""
    with opened() as (settings, kept):
        require_roots(settings)
        with _holding(kept) as duty:
            if not duty.held():
                raise click.ClickException("A running Darkroom looks after the library already.")
        # Scans are told in words already.
        configure_logging("library", level="warning", style=settings.log_format)
        stores = open_stores(settings)
        librarian = Librarian(stores, lambda progress: _print_done(progress.view()))
        librarian.start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopping.")
        finally:
            librarian.stop()
            stores.close()


@library.command(name="list", context_settings=SEARCHING)
@click.argument("search", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(1), help="No more than so many.")
def list_(search: tuple[str, ...], *, as_json: bool, limit: int | None) -> None:
    """Find models by words and filters, such as: base:sdxl -tag:style has:notes dim:>=32 order:-size."""
    with opened() as (_, kept):
        for number, model in enumerate(found_by(kept, search)):
            if limit is not None and number >= limit:
                break
            click.echo(json.dumps(_brief(model)) if as_json else _line(model))


@library.command()
@click.argument("ident", type=click.IntRange(1))
def show(ident: int) -> None:
    """Print all that is known of the model of that id, as JSON."""
    with opened() as (_, kept):
        model = kept.shelf.get(ident)
        text = json.dumps(_without_bytes(asdict(model)), indent=2, ensure_ascii=False)
        click.echo("\n".join(map(plain, text.split("\n"))))


@library.command(context_settings=SEARCHING)
@click.argument("search", nargs=-1)
def verify(search: tuple[str, ...]) -> None:
    """Read the files of models again and compare them with their hashes; exit code 1 if one differs."""
    wrong = checked = unknown = 0
    with opened() as (settings, kept):
        roots = require_roots(settings)
        for model in found_by(kept, search):
            for file in files_of(model):
                checked += file.hashed
                unknown += not file.hashed
                wrong += file.hashed and not _verified(file, roots)
    click.echo(f"{checked} files checked, {wrong} of them are not as they were. {unknown} have no hashes yet.")
    raise SystemExit(WRONG_EXIT_CODE if wrong else 0)


def _verified(file: ShownFile, roots: tuple[Path, ...]) -> bool:
    wanted = Unhashed(file.id, file.root, file.path or b"", Kind(file.kind), file.size_bytes, file.mtime_ns)
    try:
        found = digest(wanted, roots, Pace(0), lambda: True).found
    except Changed:
        click.echo(f"changed   {_shown(file)}")
        return False
    except (NotFound, Forbidden, Unavailable) as error:
        click.echo(f"missing   {_shown(file)}: {error.message}")
        return False
    except OSError as error:
        click.echo(f"damaged   {_shown(file)}: it cannot be read: {error.strerror}")
        return False
    if dict(found) == dict(file.hashes):
        return True
    click.echo(f"damaged   {_shown(file)}: the same size and time, but other bytes")
    return False


@contextmanager
def _holding(kept: Library) -> Iterator[Duty]:
    """The duty of scanning, which may be another's; what is held is given back."""
    duty = Duty(kept.upkeep, SCANNING)
    try:
        yield duty
    finally:
        duty.give_back()


def _ask(settings: Settings, duty: Duty, tell: Callable[[Progress], None], *, full: bool) -> dict[str, Any] | None:
    """Let the Darkroom that looks after the library scan it; what it says when it is done. None once nobody does."""
    client = connect(settings.redis_url)
    try:
        scans = Scans(client, SystemClock())
        after, ident = scans.newest_place(), scans.want(full=full)
        while not duty.held():
            for place, news in scans.events(after, WAIT_S):
                after = place
                if news["id"] != ident:
                    continue
                if news["state"] == "done":
                    return news
                tell(Progress(news["phase"], files=news["files"], to_read=news["toRead"], read=news["read"]))
    except Unavailable as error:
        words = "Another process looks after the library, and its Redis does not answer; stop it, or set REDIS_URL."
        raise click.ClickException(words) from error
    finally:
        disconnect(client)
    return None


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("walking", total=None)

        def tell(progress: Progress) -> None:
            bar.update(task, description=progress.phase, completed=progress.read, total=progress.to_read or None)

        yield tell


def _print_done(done: dict[str, Any]) -> None:
    figures = ("files", "added", "changed", "moved", "lost", "problems")
    click.echo(", ".join(f"{done[name]} {name}" for name in figures))


def _brief(model: ShownModel) -> dict[str, Any]:
    names = ("id", "name", "type", "category", "base_model", "size_bytes")
    paths = [(file.path or b"").decode(errors="replace") for file in files_of(model)]
    return {name: getattr(model, name) for name in names} | {"files": paths}


def _line(model: ShownModel) -> str:
    size = f"{model.size_bytes / 1e6:,.1f} MB"
    category, base = plain(model.category), plain(model.base_model or "-")
    return f"{model.id:>7}  {category:<16} {base:<14} {size:>12}  {plain(model.name)}"


def _shown(file: ShownFile) -> str:
    return plain(os.fsdecode(file.path or b""))


def _without_bytes(value: Any) -> Any:
    """JSON can hold no bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: _without_bytes(inner) for name, inner in value.items()}
    return [_without_bytes(inner) for inner in value] if isinstance(value, list | tuple) else value
