"""The commands that run the processes behind the queue in the foreground."""

import sys

import click

from workers.main import main as run_role


@click.command()
def worker() -> None:
    """Run a worker with a browser in the foreground."""
    sys.exit(run_role("worker"))


@click.command()
def background() -> None:
    """Run the background process (webhooks, library, image conversions) in the foreground."""
    sys.exit(run_role("background"))


@click.command()
def clock() -> None:
    """Run the clock (periodic sweeps) in the foreground."""
    sys.exit(run_role("clock"))
