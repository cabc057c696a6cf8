"""The commands ``fleet check`` and ``fleet accept``: the settings that all processes of an installation share."""

import os
import sys

import click

from ops.cli.groups import CommandGroup
from ops.infra.database import migrate, open_database
from ops.infra.settings import load_settings
from stores.environment.shared_settings import SESSION_KEY, SHARED_SETTINGS, SharedSettings

WORDS = {
    True: "the same as in the installation",
    False: "not that of the installation",
    None: "not recorded yet; the next process that starts records it",
}


@click.group(cls=CommandGroup)
def fleet() -> None:
    """Compare the settings that all processes share, or change them deliberately."""


@fleet.command()
def check() -> None:
    """Compare the shared settings of this environment with those of the installation; exit code 1 if one differs."""
    settings = load_settings()
    engine = open_database(settings.database_url)
    found = SharedSettings(engine, settings).compare()
    engine.dispose()
    for name, is_same in found.items():
        click.echo(f"{name}: {WORDS[is_same]}")
    sys.exit(1 if False in found.values() else 0)


@fleet.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice(SHARED_SETTINGS))
def accept(names: tuple[str, ...]) -> None:
    """Make the values that NAMES have in this environment those of the installation.

    Stop all processes first, and start them with the new values afterwards. With OLD_SESSION_KEY in the environment,
    stored logins and webhook secrets are encrypted again with the new SESSION_KEY; without it they are lost.
    """
    settings = load_settings()
    migrate(settings.database_url)
    engine = open_database(settings.database_url)
    accepted = SharedSettings(engine, settings).accept(names, os.environ.get("OLD_SESSION_KEY") or None)
    engine.dispose()
    click.echo(f"Accepted: {', '.join(names)}.")
    if SESSION_KEY in names:
        click.echo(f"{accepted.readable} logins and webhook secrets can be read with the new SESSION_KEY.")
    if accepted.lost:
        click.echo(f"{accepted.lost} cannot be read: sign in to these sites, and rotate these secrets.", err=True)
