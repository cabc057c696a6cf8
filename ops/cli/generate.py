"""The command ``generate``: one picture from a prompt, by a running Darkroom or by one started for it."""

import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from ops.cli.http_target import Target, find_target
from ops.client import Darkroom, DarkroomError, Event, Job
from ops.infra.settings import Settings, SettingsError, load_settings
from ops.processes.instance_file import read_instance
from schemas.images import formats
from stores.accounts.owner_key import OwnerKey

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 12
POLL_INTERVAL_S = 0.1
MAX_FILE_NAME_CHARS = 60
FORMATS_BY_SUFFIX = {f".{extension}": name for name, form in formats.OUTPUT.items() for extension in form.extensions}


@click.command()
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write. Default: PROMPT.png."
)
@click.option("--lora", help="A LoRA (or style) of the site, by name.")
@click.option("--site", help="The site to use; the default one when left out.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A further input of the site, such as seed=7."
)
@click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this address.")
@click.option("--key", envvar="DARKROOM_KEY", help="The key for it.")
@click.option("--open", "show", is_flag=True, help="Show the picture when it is done.")
def generate(prompt: str, output: Path | None, url: str | None, key: str | None, show: bool, **fields: Any) -> None:
    """Paint one picture from PROMPT and write it to a file."""
    wanted = _fields(**fields)
    path = output or Path(f"{_slug(prompt)}.png")
    if path.suffix and path.suffix.lower() not in FORMATS_BY_SUFFIX:
        raise click.UsageError(f"-o {path}: pictures are written as {', '.join(FORMATS_BY_SUFFIX)}.")
    if not path.parent.is_dir():
        raise click.UsageError(f"There is no folder {str(path.parent)!r} to write to.")
    try:
        with _target(url, key) as target, Darkroom(target.url, target.key) as darkroom:
            job = _wait_with_progress(darkroom, darkroom.submit(prompt, **wanted))
            if job.status == "FAILED":
                about = job.raw["error"]
                raise click.ClickException(f"{about['message']} ({about['code']}) {about['hint']}")
            _write(path, _fetch(darkroom, job, path))
            further = _write_other_images(darkroom, job, path)
    except DarkroomError as error:
        raise click.ClickException(" ".join([str(error), *error.problems])) from error
    for written in (path, *further):
        click.echo(str(written))
    if show:
        click.launch(str(path))


def _fields(lora: str | None, site: str | None, inputs: tuple[str, ...]) -> dict[str, Any]:
    pairs = [one.partition("=") for one in inputs]
    if bad := [name for name, sign, _ in pairs if not sign]:
        raise click.UsageError(f"--input {bad[0]}: write NAME=VALUE.")
    given = {"lora": lora, "site": site, "inputs": {name: value for name, _, value in pairs}}
    return {name: value for name, value in given.items() if value}


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:MAX_FILE_NAME_CHARS] or "picture"


@contextlib.contextmanager
def _target(url: str | None, key: str | None) -> Iterator[Target]:
    """The Darkroom that the options name, the one that runs here, or one of our own for the time being."""
    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if target := find_target(settings, url, key):
        yield target
    else:
        with _temporary_darkroom(settings) as started:
            yield Target(started, OwnerKey.from_settings(settings).read())


@contextlib.contextmanager
def _temporary_darkroom(settings: Settings) -> Iterator[str]:
    click.echo("Starting Darkroom for this one picture.", err=True)
    command = [sys.executable, "-m", "ops", "up", "--port", "0", "--data", str(settings.data_dir)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield _await_url(process, settings.data_dir, log)
        finally:
            click.echo("Stopping it again.", err=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)


def _await_url(process: "subprocess.Popen[bytes]", data_dir: Path, log: Any) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        note = read_instance(data_dir)
        if note and note.pid == process.pid:
            return note.url
        time.sleep(POLL_INTERVAL_S)
    log.seek(0)
    last = log.read().decode(errors="replace").strip().splitlines()[-1:]
    raise click.ClickException(last[0] if last else "Darkroom did not start.")


def _wait_with_progress(darkroom: Darkroom, job: Job) -> Job:
    columns = (
        TextColumn("{task.fields[state]:11}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        waiting = f"position {job.position} in the queue" if job.position else ""
        bar = progress.add_task("", total=100, state=job.status.lower(), detail=waiting)
        try:
            for event in darkroom.events(job.id):
                _update_bar(progress, bar, event)
        except KeyboardInterrupt:
            darkroom.cancel(job.id)
            raise
    return darkroom.job(job.id)


def _update_bar(progress: Progress, bar: TaskID, event: Event) -> None:
    if event.type in ("queued", "preview"):
        return
    so_far = event.data
    detail = f"step {so_far['currentStep'] + 1}/{so_far['totalSteps']}" if so_far.get("totalSteps") else ""
    done = 100 if event.type == "completed" else so_far.get("percentage", 0)
    progress.update(bar, completed=done, state=event.type.replace("_", " "), detail=detail)


def _fetch(darkroom: Darkroom, job: Job, path: Path) -> bytes:
    """The original bytes, or a conversion if the file's name asks for another format."""
    form = FORMATS_BY_SUFFIX.get(path.suffix.lower())
    same = form is None or job.pictures[0].type == formats.OUTPUT[form].media_type
    return darkroom.download(job.id, form=None if same else form)


def _write_other_images(darkroom: Darkroom, job: Job, path: Path) -> list[Path]:
    """The pictures after the first, as the site made them, beside it with their numbers."""
    written = []
    for number, picture in enumerate(job.pictures[1:], 2):
        suffix = "." + picture.type.removeprefix("image/").replace("jpeg", "jpg")
        one = path.with_name(f"{path.stem}-{number}{suffix}")
        _write(one, darkroom.download(job.id, number))
        written.append(one)
    return written


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error
