"""The commands that create, list, change, rotate and revoke API keys for other people."""

import sys
from collections.abc import Callable
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.cli.groups import CommandGroup
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import load_settings
from schemas.accounts.caller import Scope, parse_limits, parse_scopes
from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys, KeyChange
from stores.accounts.owner_key import OwnerKey
from stores.accounts.quotas import Quotas
from stores.redis.client import open_client
from stores.redis.scripts import Scripts

MAX_NAME_CHARS = 100
MAX_PLAN_CHARS = 40
PIPE_WIDTH = 300

# A pipe gets whole lines; on a terminal, lines wrap at its width.
console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@click.group(cls=CommandGroup)
def keys() -> None:
    """Create, list, change, rotate and revoke API keys for others; each sees only its own jobs."""


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
        scopes = f"Permissions, separated by commas: {', '.join(Scope)}; default: all but admin."
        limits = "Limits, such as queued=10,concurrent=2,daily=100,weekly=500,rate=60/minute."
        for option in (
            click.option("--plan", callback=_printable(MAX_PLAN_CHARS), help="Name of the plan; '' for none."),
            click.option("--limits", callback=_parsed(parse_limits), help=limits),
            click.option("--scopes", callback=_parsed(lambda text: parse_scopes(text.split(","))), help=scopes),
            click.option(
                "--name", callback=_printable(MAX_NAME_CHARS), required=name_required, help="Name of the key's holder."
            ),
        ):
            command = option(command)
        return command

    return add


@keys.command()
@_grant_options(name_required=True)
def create(name: str, **grant: Any) -> None:
    """Create a key and print it; it is stored as a hash and cannot be shown again."""
    click.echo(_open_api_keys().create(name, KeyChange(**grant)))


@keys.command(name="list")
def list_keys() -> None:
    """List the valid keys by id; the keys themselves are not shown."""
    table = Table("id", "name", "scopes", "limits", "plan", show_edge=False)
    for caller in _open_api_keys().list_active():
        scopes = ",".join(sorted(caller.scopes))
        table.add_row(caller.id, escape(caller.name), scopes, caller.limits.to_text(), escape(caller.plan or ""))
    console.print(table)


@keys.command()
@click.argument("key_id")
@_grant_options(name_required=False)
def change(key_id: str, **grant: Any) -> None:
    """Change the name, permissions, limits or plan of a key; options that are left out stay as they are."""
    _update(_open_api_keys(), key_id, KeyChange(**grant))


@keys.command()
@click.argument("key_id")
@_grant_options(name_required=False)
def rotate(key_id: str, **grant: Any) -> None:
    """Print a new key for an id; the old key expires within a second, jobs and limits stay."""
    api_keys = _open_api_keys()
    _update(api_keys, key_id, KeyChange(**grant))
    click.echo(api_keys.rotate(key_id))


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Revoke a key; it expires in every process within a second."""
    _open_api_keys().revoke(key_id)


def _update(api_keys: ApiKeys, key_id: str, change: KeyChange) -> None:
    api_keys.update(key_id, change)
    if change.limits is None:
        return
    settings = load_settings()
    for server in settings.redis_servers:
        client = open_client(server.url)
        try:
            Quotas(client, Scripts(client), SystemClock(), settings).limit_running(key_id, change.limits)
        except Unavailable as error:
            advice = "The key is changed. Its waiting jobs use a new 'concurrent' limit from its next submission on."
            click.echo(f"{advice} {error}", err=True)
        finally:
            client.close()


def _open_api_keys() -> ApiKeys:
    settings = load_settings()
    migrate(settings.database_url)
    return ApiKeys(open_database(settings.database_url), SystemClock(), OwnerKey.from_settings(settings))
