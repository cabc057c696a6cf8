"""The commands that look at pages in a browser; what has Playwright is started by name, in a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import click

from ops.cli.sites.recipe_files import new_recipe_path, slug, write_draft
from ops.infra.settings import ROOT

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def _kit(verb: str, help_line: str) -> click.Command:
    @click.command(name=verb, context_settings=PASS_ON, help=help_line)
    @click.argument("words", nargs=-1, type=click.UNPROCESSED)
    def command(words: tuple[str, ...]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        raise SystemExit(subprocess.call([sys.executable, "-m", "workers.sites.cli", verb, *words], env=environment))

    return command


check = _kit("check", "Look for everything that a recipe names on its page, without generating.")
try_ = _kit("try", "Run one job in the foreground and print every step.")
login = _kit("login", "Sign in to a site in a browser that you see, or from a storage state file.")


@click.command()
@click.argument("url")
@click.option("--name", help="What the recipe is to be called; by default as the host.")
def record(url: str, name: str | None) -> None:
    """Record what you do at URL in a browser that you see, and write the beginnings of a recipe from it."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise click.UsageError(
            "There is no screen here to show a browser on. Record with Chrome's Recorder where there is one (DevTools, "
            "Recorder, export as JSON), then: ./darkroom sites import recording.json"
        )
    target = new_recipe_path(name or slug(urlsplit(url).hostname or ""))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.jsonl"
        subprocess.call(_codegen(url, path))
        if not path.is_file():
            raise click.ClickException("Nothing was recorded.")
        write_draft(path, target)


def _codegen(url: str, path: Path) -> list[str]:
    return [sys.executable, "-m", "playwright", "codegen", "--target", "jsonl", "-o", str(path), url]
