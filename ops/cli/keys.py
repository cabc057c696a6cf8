"""The commands that make, list, change, rotate and revoke API keys for other people."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import SettingsError, load_settings
from schemas.accounts.caller import Scope, parse_limits, parse_scopes
from schemas.errors import NotFound
from stores.accounts.api_keys import ApiKeys, KeyChange
from stores.accounts.owner_key import OwnerKey

MAX_NAME_CHARS = 100
MAX_PLAN_CHARS = 40
WIDTH = 300

# Whole, for programs that read it; as wide as the terminal for people.
console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)


@click.group()
def keys() -> None:
    """Make, list, change, rotate and revoke API keys for others; each sees only its own jobs."""


def _printable(max_chars: int) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def check(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
        if value is not None and (len(value) > max_chars or not value.isprintable()):
            raise click.BadParameter(f"at most {max_chars} characters, all of them printable.")
        return value

    return check


def _parsed(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    def read(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(f"{error}.") from error

    return read


def _grant_options(*, name_required: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def add(command: Callable[..., None]) -> Callable[..., None]:
        scopes = f"What it may do, separated by commas: {', '.join(Scope)}; all but admin when left out."
        limits = "How much, as in queued=10,concurrent=2,daily=100,weekly=500,rate=60/minute."
        for option in (
            click.option("--plan", callback=_printable(MAX_PLAN_CHARS), help="Its plan, '' for none."),
            click.option("--limits", callback=_parsed(parse_limits), help=limits),
            click.option("--scopes", callback=_parsed(lambda text: parse_scopes(text.split(","))), help=scopes),
            click.option(
                "--name", callback=_printable(MAX_NAME_CHARS), required=name_required, help="Whose key it is."
            ),
        ):
            command = option(command)
        return command

    return add


@keys.command()
@_grant_options(name_required=True)
def create(name: str, **grant: Any) -> None:
    """Make a key and print it; it is not kept and cannot be shown again."""
    click.echo(_open_api_keys().create(name, KeyChange(**grant)))


@keys.command(name="list")
def list_keys() -> None:
    """Show each key that is valid, without the key itself."""
    table = Table("id", "name", "scopes", "limits", "plan", show_edge=False)
    for caller in _open_api_keys().list_active():
        scopes = ",".join(sorted(caller.scopes))
        table.add_row(caller.id, escape(caller.name), scopes, caller.limits.to_text(), escape(caller.plan or ""))
    console.print(table)


@keys.command()
@click.argument("key_id")
@_grant_options(name_required=False)
def change(key_id: str, **grant: Any) -> None:
    """Change what the key of that id may do; what is left out stays."""
    with _known():
        _open_api_keys().update(key_id, KeyChange(**grant))


@keys.command()
@click.argument("key_id")
@_grant_options(name_required=False)
def rotate(key_id: str, **grant: Any) -> None:
    """Print a new key in place of the one of that id, which is over within a second; jobs and limits stay."""
    with _known():
        kept = _open_api_keys()
        kept.update(key_id, KeyChange(**grant))
        click.echo(kept.rotate(key_id))


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End the key of that id; every process knows within a second."""
    with _known():
        _open_api_keys().revoke(key_id)


@contextmanager
def _known() -> Iterator[None]:
    try:
        yield
    except NotFound as error:
        raise click.ClickException(error.message) from error


def _open_api_keys() -> ApiKeys:
    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    migrate(settings.database_url)
    return ApiKeys(open_database(settings.database_url), SystemClock(), OwnerKey.from_settings(settings))
