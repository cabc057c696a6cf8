"""The commands that back up a whole installation and restore it elsewhere."""

from pathlib import Path

import click

from ops.infra.clock import SystemClock
from ops.infra.files.private_files import prepare_data_folder, set_private_umask
from ops.infra.settings import load_settings
from ops.processes.instance_file import single_instance
from stores.backup.archive import FILES, MEDIA, Manifest, open_backup
from stores.backup.installation import open_installation, restore_backup, write_backup


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write the database, all pictures, the keys and the recipes into FILE, a zip archive.

    Darkroom may be running. FILE holds keys and pictures, so only its owner can read it. Jobs in progress and their
    results are not part of a backup, nor are the model files of MODELS_DIR.
    """
    settings = load_settings()
    with open_installation(settings) as installation:
        manifest = write_backup(installation, file, SystemClock())
    click.echo(f"{_summary(manifest)} are in {file}.")
    if settings.api_key or settings.session_key:
        click.echo("Keys that are set by API_KEY and SESSION_KEY are not in it; keep them as well.", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--check", is_flag=True, help="Only compare the backup with its checksums; restore nothing.")
def restore(file: Path, *, check: bool) -> None:
    """Restore the backup FILE into the empty installation that DATA_DIR, DATABASE_URL and MEDIA_URL name.

    The database may be SQLite or PostgreSQL, whichever the backup comes from. Nothing is overwritten.
    """
    with open_backup(file) as reader:
        if check:
            reader.verify()
            click.echo(f"{file} is complete: {_summary(reader.manifest)}.")
            return
        set_private_umask()
        settings = load_settings()
        prepare_data_folder(settings.data_dir)
        with single_instance(settings.data_dir), open_installation(settings) as installation:
            restore_backup(reader, installation)
            is_readable = reader.manifest.key_check in ("", installation.key_check)
    click.echo(f"{_summary(reader.manifest)} are restored.")
    if not is_readable:
        click.echo(
            "The logins of sites and the secrets of webhooks were encrypted by another SESSION_KEY: "
            "set it to that of the backup's installation.",
            err=True,
        )


def _summary(manifest: Manifest) -> str:
    tables, objects, files = len(manifest.database.columns), len(manifest.names(MEDIA)), len(manifest.names(FILES))
    return f"{tables} tables, {objects} pictures and {files} files of the data folder"
