"""Owns the commands that write recipe files: a copy of another recipe, or the beginnings of one from a recording.

Called through ``ops.sites``.
"""

import re
import tomllib
from pathlib import Path

import click
import tomli_w

from ops.settings import SHIPPED_RECIPES, SettingsError, load_settings
from schemas import recipe_reference
from schemas.errors import Invalid
from schemas.recipe_parts import NAME
from schemas.recordings import read_recording

TITLE = re.compile(r'^title = ".*"$', re.MULTILINE)


@click.command()
@click.argument("name")
@click.option("--like", required=True, help="The recipe to begin with, such as gradio.")
def new(name: str, like: str) -> None:
    """Write the recipe NAME, a copy of another, into RECIPES_DIR or the present folder."""
    folder, target = _target(name)
    source = next((path for path in _recipes(folder) if path.stem == like), None)
    if source is None:
        known = ", ".join(sorted(path.stem for path in _recipes(folder)))
        raise click.UsageError(f"There is no recipe {like!r}. There are: {known}.")
    text = TITLE.sub(f'title = "{name}"', source.read_text(), count=1)
    for document in tomllib.loads(text).get("documents", {}).values():
        own = f"{name}{Path(document['file']).name.removeprefix(source.stem)}"
        text = text.replace(f'"{document["file"]}"', f'"{own}"')
        (folder / own).write_text((source.parent / document["file"]).read_text())
        click.echo(f"Wrote {folder / own}.")
    target.write_text(text)
    _tell(name, target)


@click.command(name="import")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What the recipe is called; by default as the recording's file.")
def import_(recording: Path, name: str | None) -> None:
    """Write the beginnings of a recipe from a RECORDING of Chrome's Recorder or Playwright's codegen (jsonl)."""
    name = name or re.sub(r"[^a-z0-9]+", "-", recording.stem.lower()).strip("-")
    _, target = _target(name)
    try:
        skeleton = read_recording(recording.read_text())
    except (Invalid, UnicodeDecodeError, KeyError, TypeError) as error:
        raise click.UsageError(f"{recording}: {error}") from error
    missing = "".join(f"# To do: {sentence}\n" for sentence in skeleton.missing)
    target.write_text(f"{missing}\n{tomli_w.dumps(skeleton.recipe)}")
    for sentence in skeleton.missing:
        click.echo(f"To do: {sentence}")
    _tell(name, target)


@click.command()
def reference() -> None:
    """Print every key of a recipe file and what it means."""
    click.echo(recipe_reference.reference())


def _target(name: str) -> tuple[Path, Path]:
    if not re.fullmatch(NAME, name):
        raise click.UsageError(f"{name!r} is no name for a recipe: small letters, digits, '-' and '_', a letter first.")
    try:
        folder = load_settings().recipes_dir or Path.cwd()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    target = folder / f"{name}.toml"
    if target.exists():
        raise click.UsageError(f"{target} exists; take another name or remove it first.")
    return folder, target


def _recipes(folder: Path) -> list[Path]:
    return [*folder.glob("*.toml"), *SHIPPED_RECIPES.glob("*.toml")]


def _tell(name: str, target: Path) -> None:
    click.echo(f"Wrote {target}. Look whether it fits: RECIPES_DIR={target.parent} ./darkroom sites check {name}")
