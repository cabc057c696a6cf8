"""The commands ``api-key show`` and ``api-key regenerate``; they work whether Darkroom is running or not."""

import click

from ops.cli.groups import CommandGroup
from ops.infra.database import open_database, sqlite_file
from ops.infra.settings import Settings, load_settings
from stores.accounts.owner_key import OwnerKey
from stores.environment.shared_settings import SharedSettings


@click.group(cls=CommandGroup)
def api_key() -> None:
    """Show or replace the owner's API key."""


@api_key.command()
def show() -> None:
    """Print the owner's key; generate it if there is none."""
    owner_key = OwnerKey.from_settings(load_settings())
    click.echo(f"Current API key: {owner_key.read()}")
    if owner_key.is_configured:
        click.echo("The key is set by API_KEY.", err=True)


@api_key.command()
def regenerate() -> None:
    """Replace the owner's key and print the new one; the old key, its sessions and its watch tokens expire."""
    settings = load_settings()
    click.echo(f"New API key: {OwnerKey.from_settings(settings).regenerate()}")
    if advice := _record(settings):
        click.echo(advice, err=True)


def _record(settings: Settings) -> str:
    """Record the new key as that of the installation, if there is one; returns advice if that fails."""
    file = sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        return ""
    engine = open_database(settings.database_url)
    try:
        return SharedSettings(engine, settings).record_api_key()
    finally:
        engine.dispose()
