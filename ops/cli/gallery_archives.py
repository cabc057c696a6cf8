"""The commands ``gallery export`` and ``gallery import``: a collection as a zip."""

import zipfile
from pathlib import Path
from typing import IO
from urllib.parse import quote

import click
import httpx

from ops.cli.http_target import open_client, read_response
from ops.client.gallery import PREFIX
from ops.infra.files.atomic_write import atomic_file

# Pictures are read and examined one after another.
TIMEOUT = httpx.Timeout(60, read=3600, write=600)


@click.command()
@click.argument("slug")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-private", is_flag=True, help="Leave out prompts that you have marked private.")
@click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
@click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
def export(slug: str, file: Path | None, *, without_private: bool, url: str | None, key: str | None) -> None:
    """Write the collection SLUG into FILE, a zip of its pictures, their provenance, and a page that opens from disk.

    Without FILE, the zip is SLUG.zip in the current folder.
    """
    path = file or Path(f"{slug}.zip")
    if path.exists():
        raise click.ClickException(f"{path} exists; name another file.")
    params = {"private": "omit"} if without_private else {}
    address = f"{PREFIX}/collections/{quote(slug, safe='')}/export"
    with (
        open_client(url, key) as client,
        client.stream("GET", address, params=params, timeout=TIMEOUT, follow_redirects=True) as response,
    ):
        if response.is_error:
            response.read()
            read_response(response)
        with atomic_file(path) as target:
            for chunk in response.iter_bytes():
                target.write(chunk)
            target.flush()
            count = _count_pictures(target)
    click.echo(f"{count} pictures are in {path}.")


def _count_pictures(file: IO[bytes]) -> int:
    try:
        with zipfile.ZipFile(file) as archive:
            return sum(name.startswith("pictures/") for name in archive.namelist())
    except zipfile.BadZipFile as error:
        raise click.ClickException("The export is incomplete; try again.") from error


@click.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
@click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
def import_(file: Path, *, url: str | None, key: str | None) -> None:
    """Make a collection from FILE, an exported one, and print its slug."""
    headers = {"Content-Type": "application/zip"}
    with open_client(url, key) as client, file.open("rb") as content:
        response = client.post(f"{PREFIX}/import", content=content, headers=headers, timeout=TIMEOUT)
    result = read_response(response)
    for problem in result["problems"]:
        click.echo(problem, err=True)
    click.echo(f"{result['collection']['slug']} {result['tokens']} tokens")
