"""The command ``bench``: which benches there are, and the running of one."""

import importlib
import sys

import click

from ops.bench.report import show

BENCHES = {
    "jobs": ("pickup", "submit", "status", "pipeline", "previews", "density", "recovery", "fairness", "backlog"),
    "integrations": ("sites", "webhooks", "library"),
    "watching": ("sockets", "fanout", "wait"),
}
FOLDERS = {name: folder for folder, names in BENCHES.items() for name in names}


@click.command()
@click.argument("name", type=click.Choice([*FOLDERS, "all"]))
@click.option("--models", type=click.IntRange(min=1000), help="Of the bench library: how many models it makes.")
def bench(name: str, models: int | None) -> None:
    """Measure Darkroom and a baseline side by side; exit code 1 if a target is missed."""
    met = True
    for one in FOLDERS if name == "all" else (name,):
        options = {"models": models} if models and one == "library" else {}
        met &= show(one, importlib.import_module(f"ops.bench.{FOLDERS[one]}.{one}").measure(**options))
    sys.exit(0 if met else 1)
