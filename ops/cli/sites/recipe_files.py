"""The commands that write recipe files: a copy of another recipe, or the beginnings of one from a recording."""

import re
import tomllib
from pathlib import Path

import click
import tomli_w

from ops.infra.settings import SHIPPED_RECIPES, SettingsError, load_settings
from schemas.errors import Invalid
from schemas.sites import reference as recipe_reference
from schemas.sites.recipe_schema import NAME_PATTERN, load_recipe
from schemas.sites.recording_import import RecipeDraft, import_recording

TITLE = re.compile(r'^title = ".*"$', re.MULTILINE)


@click.command()
@click.argument("name")
@click.option("--like", required=True, help="The recipe to begin with, such as gradio.")
def new(name: str, like: str) -> None:
    """Write the recipe NAME, a copy of another, into RECIPES_DIR or the present folder."""
    target = new_recipe_path(name)
    folder = target.parent
    source = next((path for path in _recipe_paths(folder) if path.stem == like), None)
    if source is None:
        known = ", ".join(sorted(path.stem for path in _recipe_paths(folder)))
        raise click.UsageError(f"There is no recipe {like!r}. There are: {known}.")
    text = TITLE.sub(f'title = "{name}"', source.read_text(), count=1)
    copies = {}
    for document in tomllib.loads(text).get("documents", {}).values():
        if beside := document.get("file"):
            own = f"{name}{Path(beside).name.removeprefix(source.stem)}"
            text = text.replace(f'"{beside}"', f'"{own}"')
            copies[_require_absent(folder / own)] = (source.parent / beside).read_text()
    for path, content in {**copies, target: text}.items():
        path.write_text(content)
        click.echo(f"Wrote {path}.")
    _print_check_hint(target)


@click.command(name="import")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What the recipe is called; by default as the recording's file.")
def import_(recording: Path, name: str | None) -> None:
    """Write the beginnings of a recipe from a RECORDING of Chrome's Recorder or Playwright's codegen (jsonl)."""
    write_draft(recording, new_recipe_path(name or slug(recording.stem)))


def write_draft(recording: Path, path: Path) -> None:
    """Write the beginnings of a recipe to ``target``, with what a person must add at its top."""
    try:
        skeleton = import_recording(recording.read_text())
    except (Invalid, UnicodeDecodeError) as error:
        raise click.UsageError(f"{recording}: {error}") from error
    to_do = [*skeleton.missing, *_problems(path.stem, skeleton)]
    comments = "".join(f"# To do: {sentence}\n" for sentence in to_do)
    path.write_text(f"{comments}\n{tomli_w.dumps(skeleton.recipe)}")
    for sentence in to_do:
        click.echo(f"To do: {sentence}")
    click.echo(f"Wrote {path}.")
    _print_check_hint(path)


def _problems(name: str, skeleton: RecipeDraft) -> list[str]:
    try:
        load_recipe(name, skeleton.recipe)
    except Invalid as error:
        return [problem.removeprefix(f"{name}.toml: ") for problem in error.problems]
    return []


@click.command()
def reference() -> None:
    """Print every key of a recipe file and what it means."""
    click.echo(recipe_reference.render_reference())


def slug(text: str) -> str:
    """A name for a recipe from other words, such as a host's."""
    return re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", "-", text.lower()))[:40].rstrip("-")


def new_recipe_path(name: str) -> Path:
    """The file of a new recipe, in RECIPES_DIR or the present folder; there is none yet."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise click.UsageError(f"{name!r} is no name for a recipe: small letters, digits, '-' and '_', a letter first.")
    try:
        folder = load_settings().recipes_dir or Path.cwd()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    return _require_absent(folder / f"{name}.toml")


def _require_absent(path: Path) -> Path:
    if path.exists():
        raise click.UsageError(f"{path} exists; take another name or remove it first.")
    return path


def _recipe_paths(folder: Path) -> list[Path]:
    return [*folder.glob("*.toml"), *SHIPPED_RECIPES.glob("*.toml")]


def _print_check_hint(target: Path) -> None:
    click.echo(f"Look whether it fits: RECIPES_DIR={target.parent} ./darkroom sites check {target.stem}")
