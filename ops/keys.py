"""Owns the commands that make, list and revoke API keys for other people.

Called through ``ops.cli``; the keys themselves are in ``stores.keys``.
"""

import click

from ops.clock import SystemClock
from ops.database import migrate, open_database
from ops.settings import SettingsError, load_settings
from schemas.errors import NotFound
from stores.keys import Keys, owner_key


@click.group()
def keys() -> None:
    """Make, list and revoke API keys for others; each sees only its own jobs."""


@keys.command()
@click.argument("name")
def create(name: str) -> None:
    """Make a key for NAME and print it; it is not kept and cannot be shown again."""
    click.echo(_open().create(name))


@keys.command(name="list")
def list_keys() -> None:
    """Print the id and the name of each key that is valid."""
    for key_id, name in _open().listing():
        click.echo(f"{key_id}  {name}")


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End the key of that id; every process knows within a second."""
    try:
        _open().revoke(key_id)
    except NotFound as error:
        raise click.ClickException(error.message) from error


def _open() -> Keys:
    try:
        settings = load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    migrate(settings.database_url)
    clock = SystemClock()
    return Keys(open_database(settings.database_url), clock, owner_key(settings.data_dir, settings.api_key))
