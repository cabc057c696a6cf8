"""The command ``bench``: run one benchmark or all.

Each benchmark is a module with ``measure(size)``, which yields rows, and two sizes: ``FULL``, for which the targets
hold, and ``SMOKE``, the smallest that still runs every part.
"""

import importlib
import sys
from dataclasses import replace

import click

from ops.bench.report import show
from ops.infra.logging import configure_logging

BENCHES = {
    "jobs": (
        "pickup",
        "submit",
        "status",
        "pipeline",
        "previews",
        "density",
        "recovery",
        "fairness",
        "backlog",
        "calls",
        "fleet",
        "neighbours",
        "footprint",
    ),
    "processes": ("start",),
    "integrations": ("sites", "webhooks", "receivers", "library", "gallery", "tables", "surfaces"),
    "watching": ("sockets", "fanout", "wait", "console"),
}
PACKAGES = {name: package for package, names in BENCHES.items() for name in names}


@click.command()
@click.argument("name", type=click.Choice([*PACKAGES, "all"]))
@click.option(
    "--models", type=click.IntRange(min=1000), help="Number of models in the benchmarks 'library' and 'tables'."
)
@click.option("--smoke", is_flag=True, help="Run the smallest form in seconds and do not check the targets.")
def bench(name: str, models: int | None, smoke: bool) -> None:
    """Measure Darkroom and a baseline side by side; exit code 1 if a target is missed."""
    configure_logging("bench", level="error")
    all_met = True
    for bench_name in PACKAGES if name == "all" else (name,):
        module = importlib.import_module(f"ops.bench.{PACKAGES[bench_name]}.{bench_name}")
        size = module.SMOKE if smoke else module.FULL
        if models and bench_name in ("library", "tables"):
            size = replace(size, models=models)
        all_met &= show(bench_name, module.measure(size), check_targets=not smoke)
    sys.exit(0 if all_met else 1)
