"""The command ``library roots``: the folders of the library, whichever machine they are on."""

import click

from workers.library.cli.session import open_library, printable


@click.command(name="roots")
@click.option("--remove", metavar="FOLDER", help="Hide the models of FOLDER, which no machine names any more.")
def list_roots(remove: str | None) -> None:
    """List the folders of the library with the machines that name them in MODELS_DIR, or remove one."""
    with open_library() as (settings, library):
        if remove is not None:
            if remove in map(str, settings.models_dir):
                raise click.UsageError(f"MODELS_DIR names {printable(remove)}: remove it there first.")
            library.roots.remove(remove)
            click.echo(f"Removed {printable(remove)}; its models reappear if a machine names it in MODELS_DIR again.")
            return
        for root in library.roots.list_all():
            click.echo(f"{printable(root.path)}  {', '.join(map(printable, root.machines))}")
