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
from schemas.library.model_views import FileView, ModelView
from schemas.library.scan_records import FileFormat
from stores import open_stores
from stores.library import Library
from stores.library.index.file_hashes import PendingFile
from stores.library.maintenance import SCANNING
from stores.library.scan_requests import ScanRequests
from workers.library.cli.import_export import backup, export, import_, restore
from workers.library.cli.session import (
    SEARCH_CONTEXT,
    find_models,
    open_library,
    present_files,
    printable,
    require_roots,
)
from workers.library.indexer import LibraryIndexer
from workers.library.leader_lock import LeaderLock
from workers.library.scanner.hash_file import ByteRateLimiter, FileChangedError, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

MISMATCH_EXIT_CODE = 1
EVENT_WAIT_S = 2.0

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
    with open_library() as (settings, kept):
        roots = require_roots(settings)
        with _scan_lock(kept) as duty, _progress_bar() as tell:
            done = None if duty.acquire() else _request_scan(settings, duty, tell, full=full)
            if done is None:
                kept.scan_writer.drop_roots_except([str(root) for root in roots])
                parts = [ScanScope(root, full=full) for root in roots]
                done = Scan(kept.scan_writer, roots, tell, duty.acquire).run(parts).to_json()
    if as_json:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        click.echo(json.dumps(done | {"seconds": time.monotonic() - began, "memoryMb": peak_mb}))
    else:
        _print_summary(done)


@library.command()
def watch() -> None:
    """Look after the library until Ctrl-C: index what changes in its folders, hash it, compare all now and then."""
    with open_library() as (settings, kept):
        require_roots(settings)
        with _scan_lock(kept) as duty:
            if not duty.acquire():
                raise click.ClickException("A running Darkroom looks after the library already.")
        # Scans are told in words already.
        configure_logging("library", level="warning", style=settings.log_format)
        stores = open_stores(settings)
        librarian = LibraryIndexer(stores, lambda progress: _print_summary(progress.to_json()))
        librarian.start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopping.")
        finally:
            librarian.stop()
            stores.close()


@library.command(name="list", context_settings=SEARCH_CONTEXT)
@click.argument("search", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--limit", type=click.IntRange(1), help="No more than so many.")
def list_(search: tuple[str, ...], *, as_json: bool, limit: int | None) -> None:
    """Find models by words and filters, such as: base:sdxl -tag:style has:notes dim:>=32 order:-size."""
    with open_library() as (_, kept):
        for number, model in enumerate(find_models(kept, search)):
            if limit is not None and number >= limit:
                break
            click.echo(json.dumps(_model_json(model)) if as_json else _model_line(model))


@library.command()
@click.argument("ident", type=click.IntRange(1))
def show(ident: int) -> None:
    """Print all that is known of the model of that id, as JSON."""
    with open_library() as (_, kept):
        model = kept.models.get(ident)
        text = json.dumps(_decode_bytes(asdict(model)), indent=2, ensure_ascii=False)
        click.echo("\n".join(map(printable, text.split("\n"))))


@library.command(context_settings=SEARCH_CONTEXT)
@click.argument("search", nargs=-1)
def verify(search: tuple[str, ...]) -> None:
    """Read the files of models again and compare them with their hashes; exit code 1 if one differs."""
    wrong = checked = unknown = 0
    with open_library() as (settings, kept):
        roots = require_roots(settings)
        for model in find_models(kept, search):
            for file in present_files(model):
                checked += file.hashed
                unknown += not file.hashed
                wrong += file.hashed and not _verify_file(file, roots)
    click.echo(f"{checked} files checked, {wrong} of them are not as they were. {unknown} have no hashes yet.")
    raise SystemExit(MISMATCH_EXIT_CODE if wrong else 0)


def _verify_file(file: FileView, roots: tuple[Path, ...]) -> bool:
    wanted = PendingFile(file.id, file.root, file.path or b"", FileFormat(file.kind), file.size_bytes, file.mtime_ns)
    try:
        found = hash_file(wanted, roots, ByteRateLimiter(0), lambda: True).hashes
    except FileChangedError:
        click.echo(f"changed   {_printable_path(file)}")
        return False
    except (NotFound, Forbidden, Unavailable) as error:
        click.echo(f"missing   {_printable_path(file)}: {error.message}")
        return False
    except OSError as error:
        click.echo(f"damaged   {_printable_path(file)}: it cannot be read: {error.strerror}")
        return False
    if dict(found) == dict(file.hashes):
        return True
    click.echo(f"damaged   {_printable_path(file)}: the same size and time, but other bytes")
    return False


@contextmanager
def _scan_lock(kept: Library) -> Iterator[LeaderLock]:
    """The duty of scanning, which may be another's; what is held is given back."""
    duty = LeaderLock(kept.maintenance, SCANNING)
    try:
        yield duty
    finally:
        duty.release()


def _request_scan(
    settings: Settings, duty: LeaderLock, tell: Callable[[ScanProgress], None], *, full: bool
) -> dict[str, Any] | None:
    """Let the Darkroom that looks after the library scan it; what it says when it is done. None once nobody does."""
    client = connect(settings.redis_url)
    try:
        scans = ScanRequests(client, SystemClock())
        after, ident = scans.last_event_id(), scans.request(full=full)
        while not duty.acquire():
            for place, news in scans.read_events(after, EVENT_WAIT_S):
                after = place
                if news["id"] != ident:
                    continue
                if news["state"] == "done":
                    return news
                tell(ScanProgress(news["phase"], files=news["files"], to_read=news["toRead"], read=news["read"]))
    except Unavailable as error:
        words = "Another process looks after the library, and its Redis does not answer; stop it, or set REDIS_URL."
        raise click.ClickException(words) from error
    finally:
        disconnect(client)
    return None


@contextmanager
def _progress_bar() -> Iterator[Callable[[ScanProgress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("walking", total=None)

        def tell(progress: ScanProgress) -> None:
            bar.update(task, description=progress.phase, completed=progress.read, total=progress.to_read or None)

        yield tell


def _print_summary(done: dict[str, Any]) -> None:
    figures = ("files", "added", "changed", "moved", "lost", "problems")
    click.echo(", ".join(f"{done[name]} {name}" for name in figures))


def _model_json(model: ModelView) -> dict[str, Any]:
    names = ("id", "name", "type", "category", "base_model", "size_bytes")
    paths = [(file.path or b"").decode(errors="replace") for file in present_files(model)]
    return {name: getattr(model, name) for name in names} | {"files": paths}


def _model_line(model: ModelView) -> str:
    size = f"{model.size_bytes / 1e6:,.1f} MB"
    category, base = printable(model.category), printable(model.base_model or "-")
    return f"{model.id:>7}  {category:<16} {base:<14} {size:>12}  {printable(model.name)}"


def _printable_path(file: FileView) -> str:
    return printable(os.fsdecode(file.path or b""))


def _decode_bytes(value: Any) -> Any:
    """JSON can hold no bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: _decode_bytes(inner) for name, inner in value.items()}
    return [_decode_bytes(inner) for inner in value] if isinstance(value, list | tuple) else value
