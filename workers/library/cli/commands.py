"""The ``library`` command group, with the commands that only read: scan, watch, list, show, verify.

They need nothing but the database. Where a running Darkroom already indexes the library, ``scan`` asks it for a scan
through Redis instead of scanning here.
"""

import json
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ops.infra.clock import SystemClock
from ops.infra.logging import configure_logging
from ops.infra.redis import disconnect
from ops.infra.settings import Settings
from schemas.errors import Forbidden, NotFound, Unavailable
from schemas.library.model_views import FileView, ModelView
from schemas.library.scan_records import FileFormat
from stores import open_stores
from stores.library import Library
from stores.library.index.file_hashes import PendingFile
from stores.library.maintenance import SCANNING
from stores.library.scan_requests import ScanRequests
from stores.redis.client import open_any_client
from workers.library.cli.import_export import backup, export, import_, restore
from workers.library.cli.roots import list_roots
from workers.library.cli.session import (
    SEARCH_CONTEXT,
    find_models,
    open_library,
    present_files,
    printable,
    require_roots,
)
from workers.library.indexer import LibraryIndexer
from workers.library.leader_lock import FolderLocks, machine_name
from workers.library.scanner.hash_file import ByteRateLimiter, FileChangedError, hash_file
from workers.library.scanner.scan import Scan, ScanProgress, ScanScope

MISMATCH_EXIT_CODE = 1
EVENT_WAIT_S = 2.0

console = Console(highlight=False, soft_wrap=True, stderr=True)


@click.group()
def library() -> None:
    """Scan, search, check and export the model library in the folders of MODELS_DIR."""


for command in (backup, export, import_, restore, list_roots):
    library.add_command(command)


@library.command()
@click.option("--full", is_flag=True, help="Read every file again, not only changed ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the time and the peak memory used.")
def scan(*, full: bool, as_json: bool) -> None:
    """Compare the library with the disk now."""
    started = time.monotonic()
    with open_library() as (settings, library):
        roots = require_roots(settings)
        with _progress_bar() as on_progress:
            # Before the request: its scan would wait for the folders that are locked here.
            with _scan_locks(library, roots) as locks:
                free = frozenset(locks.acquire())
                chosen = [root for root in roots if str(root) in free]
                summary = _scan_here(library, roots, chosen, locks, on_progress, full=full) if chosen else {}
            if others := [root for root in roots if str(root) not in free]:
                with _scan_locks(library, others) as locks:
                    found = _request_scan(settings, library, locks, others, on_progress, full=full)
                    found = found or _scan_here(library, roots, others, locks, on_progress, full=full)
                summary = found | {
                    name: value + found[name] for name, value in summary.items() if isinstance(value, int)
                }
    if as_json:
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        click.echo(json.dumps(summary | {"seconds": time.monotonic() - started, "memoryMb": peak_mb}))
    else:
        _print_summary(summary)


@library.command()
def watch() -> None:
    """Index and hash changes in the library's folders until Ctrl-C."""
    with open_library() as (settings, library):
        with _scan_locks(library, require_roots(settings)) as locks:
            if not locks.acquire():
                raise click.ClickException("A running Darkroom already indexes the library.")
        # Each scan prints its summary; the log need not repeat it.
        configure_logging("library", level="warning", style=settings.log_format)
        stores = open_stores(settings)
        indexer = LibraryIndexer(stores, lambda progress: _print_summary(progress.to_json()))
        indexer.start()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            click.echo("Stopping.")
        finally:
            indexer.stop()
            stores.close()


@library.command(name="list", context_settings=SEARCH_CONTEXT)
@click.argument("search", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--limit", type=click.IntRange(1), help="Print at most this many models.")
def list_(search: tuple[str, ...], *, as_json: bool, limit: int | None) -> None:
    """Find models by words and filters, such as: base:sdxl -tag:style has:notes dim:>=32 order:-size."""
    with open_library() as (_, library):
        for number, model in enumerate(find_models(library, search)):
            if limit is not None and number >= limit:
                break
            click.echo(json.dumps(_model_json(model)) if as_json else _model_line(model))


@library.command()
@click.argument("model_id", type=click.IntRange(1))
def show(model_id: int) -> None:
    """Print everything known about the model with this id, as JSON."""
    with open_library() as (_, library):
        model = library.models.get(model_id)
        text = json.dumps(_decode_bytes(asdict(model)), indent=2, ensure_ascii=False)
        click.echo("\n".join(map(printable, text.split("\n"))))


@library.command(context_settings=SEARCH_CONTEXT)
@click.argument("search", nargs=-1)
def verify(search: tuple[str, ...]) -> None:
    """Read model files again and compare them with their hashes; exit code 1 on a mismatch."""
    mismatched = checked = unhashed = 0
    with open_library() as (settings, library):
        roots = require_roots(settings)
        for model in find_models(library, search):
            for file in present_files(model):
                checked += file.is_hashed
                unhashed += not file.is_hashed
                mismatched += file.is_hashed and not _verify_file(file, roots)
    click.echo(f"{checked} files checked, {mismatched} do not match their hashes. {unhashed} have no hashes yet.")
    raise SystemExit(MISMATCH_EXIT_CODE if mismatched else 0)


def _verify_file(file: FileView, roots: tuple[Path, ...]) -> bool:
    """Hash a file and print a line unless it matches; return whether it does."""
    pending = PendingFile(file.id, file.root, file.path or b"", FileFormat(file.kind), file.size_bytes, file.mtime_ns)
    try:
        hashes = hash_file(pending, roots, ByteRateLimiter(0), lambda: True).hashes
    except FileChangedError:
        click.echo(f"changed   {_printable_path(file)}")
        return False
    except (NotFound, Forbidden, Unavailable) as error:
        click.echo(f"missing   {_printable_path(file)}: {error.message}")
        return False
    except OSError as error:
        click.echo(f"damaged   {_printable_path(file)}: cannot be read: {error.strerror}")
        return False
    if dict(hashes) == dict(file.hashes):
        return True
    click.echo(f"damaged   {_printable_path(file)}: same size and time, different content")
    return False


@contextmanager
def _scan_locks(library: Library, roots: Sequence[Path]) -> Iterator[FolderLocks]:
    """The locks for scanning these folders, not yet acquired; released at the end."""
    locks = FolderLocks(library.maintenance, SCANNING, [str(root) for root in roots])
    try:
        yield locks
    finally:
        locks.release()


def _scan_here(
    library: Library,
    roots: Sequence[Path],
    chosen: Sequence[Path],
    locks: FolderLocks,
    on_progress: Callable[[ScanProgress], None],
    *,
    full: bool,
) -> dict[str, Any]:
    """Scan some folders, whose locks are held, and return the summary."""
    library.roots.record(machine_name(), [str(root) for root in roots])
    needed = {str(root) for root in chosen}
    scan = Scan(library.scan_writer, roots, on_progress, lambda: needed.issubset(locks.acquire()))
    return scan.run([ScanScope(root, full=full) for root in chosen]).to_json()


def _request_scan(
    settings: Settings,
    library: Library,
    locks: FolderLocks,
    roots: Sequence[Path],
    on_progress: Callable[[ScanProgress], None],
    *,
    full: bool,
) -> dict[str, Any] | None:
    """Ask the Darkroom that indexes these folders for a scan and return its summary.

    Returns None if it gives up its locks first; they are then held here.
    """
    folders = [str(root) for root in roots]
    client = open_any_client(settings.redis_url)
    try:
        requests = ScanRequests(client, SystemClock())
        after, scan_id = requests.last_event_id(), requests.request(full=full)
        # Locks are not tried before the others are gone: those of some folders would keep others from these.
        while library.maintenance.list_held(SCANNING, folders) or not locks.acquire_all():
            locks.release()
            for event_id, event in requests.read_events(after, EVENT_WAIT_S):
                after = event_id
                if event["id"] != scan_id:
                    continue
                if event["state"] == "done":
                    return event
                on_progress(
                    ScanProgress(event["phase"], files=event["files"], to_read=event["toRead"], read=event["read"])
                )
    except Unavailable as error:
        message = "Another process indexes the library, but its Redis does not answer. Stop it, or set REDIS_URL."
        raise click.ClickException(message) from error
    finally:
        disconnect(client)
    return None


@contextmanager
def _progress_bar() -> Iterator[Callable[[ScanProgress], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("walking", total=None)

        def update(progress: ScanProgress) -> None:
            bar.update(task, description=progress.phase, completed=progress.read, total=progress.to_read or None)

        yield update


def _print_summary(summary: dict[str, Any]) -> None:
    figures = ("files", "added", "changed", "moved", "lost", "problems")
    click.echo(", ".join(f"{summary[name]} {name}" for name in figures))


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
    """Replace bytes by text throughout a value, for JSON."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, dict):
        return {name: _decode_bytes(inner) for name, inner in value.items()}
    return [_decode_bytes(inner) for inner in value] if isinstance(value, list | tuple) else value
