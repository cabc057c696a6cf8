"""The commands that show the owner's key and put a new one in its place, while Darkroom runs or while it does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from ops.infra.settings import SettingsError, load_settings
from schemas.errors import ServiceError
from stores.accounts.owner_key import OwnerKey


@click.group()
def api_key() -> None:
    """Show the owner's key, or put a new one in its place."""


@api_key.command()
def show() -> None:
    """Print the owner's key; it is made if there is none."""
    with _told():
        kept = OwnerKey.from_settings(load_settings())
        click.echo(f"Current API key: {kept.read()}")
    if kept.is_configured:
        click.echo("It is the one in API_KEY.", err=True)


@api_key.command()
def regenerate() -> None:
    """Print a new key in place of the owner's, which is over within a second, logins and passes with it."""
    with _told():
        click.echo(f"New API key: {OwnerKey.from_settings(load_settings()).regenerate()}")


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except ServiceError as error:
        raise click.ClickException(error.message) from error
