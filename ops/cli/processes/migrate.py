"""The command ``migrate`` of the Procfile."""

import contextlib

import click

from ops.infra.database import migrate as migrate_database
from ops.infra.files.private_files import prepare_data_folder, restrict_stored_files, set_private_umask
from ops.infra.settings import load_settings


@click.command()
def migrate() -> None:
    """Upgrade the database tables (the Procfile's release step)."""
    set_private_umask()
    settings = load_settings()
    # Tables on a server need no data folder; what SQLite cannot create is reported when it is opened.
    with contextlib.suppress(OSError):
        prepare_data_folder(settings.data_dir)
        restrict_stored_files(settings.data_dir)
    migrate_database(settings.database_url)
