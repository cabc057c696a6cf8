"""The command ``generate``: one image from a prompt, by a running Darkroom or by one that is started for it."""

import contextlib
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
from ops.infra.files.atomic_write import write_atomically
from ops.infra.settings import Settings, load_settings
from ops.processes.instance_file import read_instance
from schemas.images import formats
from schemas.images.input_images import REFERENCE
from stores.accounts.owner_key import OwnerKey

START_TIMEOUT_S = 180
STOP_TIMEOUT_S = 12
POLL_INTERVAL_S = 0.1
MAX_FILE_NAME_CHARS = 60
FORMATS_BY_SUFFIX = {f".{extension}": form for form in formats.DELIVERED for extension in form.extensions}


@click.command()
@click.argument("prompt")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File to write. Default: PROMPT.png."
)
@click.option("--lora", help="A LoRA (or style) of the site, by name.")
@click.option("--site", help="The site to use; default: SITE.")
@click.option(
    "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="Another input of the site, such as seed=7."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="NAME=FILE",
    help="A picture for an image input of the site, such as init=photo.png; also job:ID/1 or upload:ID.",
)
@click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
@click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
@click.option("--open", "show", is_flag=True, help="Open the image when it is done.")
def generate(prompt: str, output: Path | None, url: str | None, key: str | None, show: bool, **fields: Any) -> None:
    """Generate an image from PROMPT and write it to a file."""
    job_fields = _job_fields(**fields)
    path = output or Path(f"{_slug(prompt)}.png")
    if path.suffix and path.suffix.lower() not in FORMATS_BY_SUFFIX:
        raise click.UsageError(f"-o {path}: the supported formats are {', '.join(FORMATS_BY_SUFFIX)}.")
    if not path.parent.is_dir():
        raise click.UsageError(f"There is no folder {str(path.parent)!r} to write to.")
    try:
        with _target(url, key) as target, Darkroom(target.url, target.key) as darkroom:
            job = _wait_with_progress(darkroom, darkroom.submit(prompt, **job_fields))
            if job.status == "FAILED":
                failure = job.raw["error"]
                raise click.ClickException(f"{failure['message']} ({failure['code']}) {failure['hint']}")
            path, data = _download(darkroom, job, path, is_named=output is not None)
            _write(path, data)
            other_paths = _write_other_images(darkroom, job, path)
    except DarkroomError as error:
        raise click.ClickException(" ".join([str(error), *error.problems])) from error
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be read: {error.strerror}.") from error
    for written in (path, *other_paths):
        click.echo(str(written))
    if show:
        click.launch(str(path))


def _job_fields(lora: str | None, site: str | None, inputs: tuple[str, ...], images: tuple[str, ...]) -> dict[str, Any]:
    pictures = _pairs("--image", images, "FILE")
    references = {name: value for name, value in pictures.items() if REFERENCE.fullmatch(value)}
    files = {name: Path(value) for name, value in pictures.items() if name not in references}
    if missing := [path for path in files.values() if not path.is_file()]:
        raise click.UsageError(f"--image: there is no file {str(missing[0])!r}.")
    fields = {"lora": lora, "site": site, "inputs": _pairs("--input", inputs, "VALUE") | references, "images": files}
    return {name: value for name, value in fields.items() if value}


def _pairs(option: str, texts: tuple[str, ...], kind: str) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if invalid := [name for name, sign, _ in pairs if not sign]:
        raise click.UsageError(f"{option} {invalid[0]}: write NAME={kind}.")
    return {name: value for name, _, value in pairs}


def _slug(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:MAX_FILE_NAME_CHARS] or "picture"


@contextlib.contextmanager
def _target(url: str | None, key: str | None) -> Iterator[Target]:
    """Yield the Darkroom of the options, or the one that runs here, or a temporary one."""
    settings = load_settings()
    if target := find_target(settings, url, key):
        yield target
    else:
        with _temporary_darkroom(settings) as temporary_url:
            yield Target(temporary_url, OwnerKey.from_settings(settings).read())


@contextlib.contextmanager
def _temporary_darkroom(settings: Settings) -> Iterator[str]:
    click.echo("Starting Darkroom for this image.", err=True)
    command = [sys.executable, "-m", "ops", "up", "--port", "0", "--data", str(settings.data_dir)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            yield _await_url(process, settings.data_dir, log)
        finally:
            click.echo("Stopping it.", err=True)
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT_S)


def _await_url(process: "subprocess.Popen[bytes]", data_dir: Path, log: Any) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        instance = read_instance(data_dir)
        if instance and instance.pid == process.pid:
            return instance.url
        time.sleep(POLL_INTERVAL_S)
    log.seek(0)
    last = log.read().decode(errors="replace").strip().splitlines()[-1:]
    raise click.ClickException(last[0].removeprefix("Error: ") if last else "Darkroom did not start.")


def _wait_with_progress(darkroom: Darkroom, job: Job) -> Job:
    columns = (
        TextColumn("{task.fields[state]:11}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        detail = f"position {job.position} in the queue" if job.position else ""
        bar = progress.add_task("", total=100, state=job.status.lower(), detail=detail)
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
    data = event.data
    detail = f"step {data['currentStep'] + 1}/{data['totalSteps']}" if data.get("totalSteps") else ""
    percentage = 100 if event.type == "completed" else data.get("percentage", 0)
    progress.update(bar, completed=percentage, state=event.type.replace("_", " "), detail=detail)


def _download(darkroom: Darkroom, job: Job, path: Path, *, is_named: bool) -> tuple[Path, bytes]:
    """Return the file to write and its bytes: the original, or a conversion if the file name asks for one.

    Raises:
        ClickException: the file name asks for a format that the result is not converted to.
    """
    media_type = job.pictures[0].type
    wanted = FORMATS_BY_SUFFIX.get(path.suffix.lower())
    if wanted is None or wanted.media_type == media_type:
        return path, darkroom.download(job.id)
    original, picture = formats.BY_MEDIA_TYPE.get(media_type), job.pictures[0]
    is_small = picture.width * picture.height <= formats.MAX_PIXELS
    if original and (original.is_video or not is_small or wanted not in formats.OUTPUT.values()):
        if is_named:
            raise click.ClickException(
                f"The result is {media_type} and is not converted: name the file {path.stem}.{original.extension}."
            )
        return path.with_suffix(f".{original.extension}"), darkroom.download(job.id)
    return path, darkroom.download(job.id, form=wanted.extension)


def _write_other_images(darkroom: Darkroom, job: Job, path: Path) -> list[Path]:
    """Write the images after the first in their original format, with their numbers in the file names."""
    paths = []
    for number, picture in enumerate(job.pictures[1:], 2):
        form = formats.BY_MEDIA_TYPE.get(picture.type)
        suffix = f".{form.extension}" if form else path.suffix
        numbered_path = path.with_name(f"{path.stem}-{number}{suffix}")
        _write(numbered_path, darkroom.download(job.id, number))
        paths.append(numbered_path)
    return paths


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}.") from error
