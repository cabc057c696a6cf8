"""The command ``gallery``: collections and tokens of a Darkroom that runs."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.cli.gallery_archives import export, import_
from ops.cli.groups import CommandGroup
from ops.cli.http_target import open_client, read_response
from ops.client.gallery import PREFIX, Gallery

MAX_ROWS = 1000
PAGE_SIZE = 100
UPLOAD_TIMEOUT_S = 300
PIPE_WIDTH = 300
TOKEN_ID = re.compile(r"0x[0-9a-f]{64}", re.ASCII | re.IGNORECASE)

# A pipe gets whole lines; on a terminal, lines wrap at its width.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@click.group(cls=CommandGroup)
def gallery() -> None:
    """Show and fill the gallery: collections and their tokens."""


gallery.add_command(export)
gallery.add_command(import_)


def _target_options(command: Callable[..., None]) -> Callable[..., None]:
    url = click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
    key = click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
    return url(key(command))


@contextmanager
def _open_gallery(url: str | None, key: str | None) -> Iterator[Gallery[Any]]:
    with open_client(url, key) as client:

        def send(method: str, path: str, **content: Any) -> Any:
            response = client.request(method, PREFIX + path, follow_redirects=True, timeout=UPLOAD_TIMEOUT_S, **content)
            return read_response(response) if response.content else None

        yield Gallery(send)


@gallery.command(name="list")
@click.argument("slug", required=False)
@click.option("--mine", is_flag=True, help="Your own collections, also archived ones.")
@click.option("--explicit", type=click.Choice(["include", "exclude", "only"]), help="What happens to explicit ones.")
@_target_options
def list_(slug: str | None, *, mine: bool, explicit: str | None, url: str | None, key: str | None) -> None:
    """List the collections, the newest first, or the tokens of the collection SLUG."""
    with _open_gallery(url, key) as api:
        if slug:
            table = Table("token", "name", "picture", "created", show_edge=False)
            rows = _all_items(lambda cursor: api.list_tokens(slug, cursor=cursor, limit=PAGE_SIZE, explicit=explicit))
            for token in rows:
                table.add_row(token["tokenId"], escape(token["name"]), token["media"]["status"], token["createdAt"])
        else:
            table = Table("collection", "name", "tokens", "status", "created", show_edge=False)
            owner = "me" if mine else None
            rows = _all_items(
                lambda cursor: api.list_collections(owner, cursor=cursor, limit=PAGE_SIZE, explicit=explicit)
            )
            for row in rows:
                count = str(row["tokenCount"])
                table.add_row(row["slug"], escape(row["name"]), count, row["status"], row["createdAt"])
    console.print(table)


@gallery.command()
@click.argument("name")
@click.option("--slug", help="Name in URLs; default: made from NAME.")
@click.option("--description", default="", help="What the collection is about.")
@click.option("--explicit", is_flag=True, help="Its pictures are explicit.")
@click.option(
    "--royalty-fee", type=click.IntRange(0, 10_000), help="Royalty in hundredths of a percent, as information."
)
@_target_options
def create(name: str, url: str | None, key: str | None, **fields: Any) -> None:
    """Create the collection NAME and print its slug."""
    with _open_gallery(url, key) as api:
        given = {field: value for field, value in fields.items() if value not in (None, "", False)}
        click.echo(api.create_collection(name, **given)["slug"])


@gallery.command()
@click.argument("slug")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--job", "job_id", help="Id of a completed job of yours.")
@click.option("--number", type=click.IntRange(1), help="Which picture of the job; default: the first.")
@click.option("--image", "image_id", type=click.IntRange(1), help="Id of an image of the library.")
@click.option("--name", help="Name of the token; default: from the prompt or the file.")
@click.option("--description", help="What the picture shows.")
@click.option("--private-prompt", "prompt_private", is_flag=True, help="Hide the prompt from others.")
@_target_options
def add(slug: str, file: Path | None, url: str | None, key: str | None, **fields: Any) -> None:
    """Add a picture to the collection SLUG and print its token: from a job, from the library, or from FILE."""
    given = {field: value for field, value in fields.items() if value not in (None, False)}
    if sum(source is not None for source in (file, fields["job_id"], fields["image_id"])) != 1:
        raise click.UsageError("Give exactly one picture: --job ID, --image ID, or a FILE.")
    if file is not None:
        given = {"name": file.stem, **given, "picture": file}
    with _open_gallery(url, key) as api:
        token = api.add(slug, **given)
    click.echo(f"{token['tokenId']} {token['url']}")


@gallery.command()
@click.argument("what")
@_target_options
def show(what: str, url: str | None, key: str | None) -> None:
    """Show a collection by its slug, or a token by its id, as JSON."""
    with _open_gallery(url, key) as api:
        found = api.token(what) if TOKEN_ID.fullmatch(what) else api.collection(what)
    console.print_json(data=found)


def _all_items(read_page: Callable[[str | None], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the items of a list, up to MAX_ROWS, page by page."""
    cursor, count = None, 0
    while True:
        page = read_page(cursor)
        yield from page["items"]
        count, cursor = count + len(page["items"]), page["nextCursor"]
        if cursor is None:
            return
        if count >= MAX_ROWS:
            click.echo(f"Only the first {count} are shown.", err=True)
            return
