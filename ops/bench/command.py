"""Owns the command ``bench``: which benches there are, and the running of one.

Called through ``ops.cli``.
"""

import importlib
import sys

import click

from ops.bench.report import show

NAMES = (
    *("pickup", "submit", "status", "pipeline", "previews", "density", "recovery", "fairness", "backlog", "sites"),
    *("sockets", "fanout", "wait", "webhooks", "library"),
)


@click.command()
@click.argument("name", type=click.Choice([*NAMES, "all"]))
@click.option("--models", type=click.IntRange(min=1000), help="Of the bench library: how many models it makes.")
def bench(name: str, models: int | None) -> None:
    """Measure Darkroom and a baseline side by side; exit code 1 if a target is missed."""
    met = True
    for one in NAMES if name == "all" else (name,):
        options = {"models": models} if models and one == "library" else {}
        met &= show(one, importlib.import_module(f"ops.bench.{one}").measure(**options))
    sys.exit(0 if met else 1)
