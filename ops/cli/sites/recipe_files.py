"""The commands that create recipe files: a copy of another recipe, or a draft from a recording."""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import click
import tomli_w

from ops.infra.settings import SHIPPED_RECIPES, load_settings
from schemas.errors import Invalid
from schemas.sites import reference as recipe_reference
from schemas.sites.recipe_schema import NAME_PATTERN, load_recipe
from schemas.sites.recording_import import RecipeDraft, import_recording

TITLE = re.compile(r'^title = ".*"$', re.MULTILINE)
MAX_NAME_CHARS = 40


@click.command()
@click.argument("name")
@click.option("--like", required=True, help="The recipe to copy, such as gradio.")
def new(name: str, like: str) -> None:
    """Create the recipe NAME as a copy of another one, in RECIPES_DIR or the current folder."""
    path = new_recipe_path(name)
    folder = path.parent
    source = next((recipe for recipe in _recipe_paths(folder) if recipe.stem == like), None)
    if source is None:
        names = ", ".join(sorted(recipe.stem for recipe in _recipe_paths(folder)))
        raise click.UsageError(f"There is no recipe {like!r}. There are: {names}.")
    text = TITLE.sub(f'title = "{name}"', source.read_text(), count=1)
    contents = {}
    # Files that the recipe names (such as a ComfyUI workflow) are copied under names of their own.
    for document in tomllib.loads(text).get("documents", {}).values():
        if file_name := document.get("file"):
            new_file_name = f"{name}{Path(file_name).name.removeprefix(source.stem)}"
            text = text.replace(f'"{file_name}"', f'"{new_file_name}"')
            contents[_require_absent(folder / new_file_name)] = (source.parent / file_name).read_text()
    for file, content in {**contents, path: text}.items():
        file.write_text(content)
        click.echo(f"Wrote {file}.")
    _print_check_hint(path)


@click.command(name="import")
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the recipe; default: that of the recording's file.")
def import_(recording: Path, name: str | None) -> None:
    """Create a recipe draft from a RECORDING of Chrome's Recorder or Playwright's codegen (jsonl)."""
    write_draft(recording, new_recipe_path(name or slug(recording.stem)))


@click.command()
@click.argument("url")
@click.option("--name", help="Name of the recipe; default: the host of URL.")
def record(url: str, name: str | None) -> None:
    """Record your actions at URL in a visible browser, and create a recipe draft from them."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise click.UsageError(
            "There is no screen to show a browser on. Record with Chrome's Recorder on another machine (DevTools, "
            "Recorder, export as JSON), then: ./darkroom sites import recording.json"
        )
    path = new_recipe_path(name or slug(urlsplit(url).hostname or ""))
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.jsonl"
        codegen = [sys.executable, "-m", "playwright", "codegen", "--target", "jsonl", "-o", str(recording), url]
        subprocess.call(codegen)
        if not recording.is_file():
            raise click.ClickException("Nothing was recorded: do something on the page before you close the window.")
        write_draft(recording, path)


def write_draft(recording: Path, path: Path) -> None:
    """Write a recipe draft to ``path``, with a list at its top of what must be completed by hand."""
    try:
        draft = import_recording(recording.read_text())
    except (Invalid, UnicodeDecodeError) as error:
        raise click.UsageError(f"{recording}: {error}") from error
    to_do = [*draft.missing, *_problems(path.stem, draft)]
    comments = "".join(f"# To do: {sentence}\n" for sentence in to_do)
    path.write_text(f"{comments}\n{tomli_w.dumps(draft.recipe)}")
    for sentence in to_do:
        click.echo(f"To do: {sentence}")
    click.echo(f"Wrote {path}.")
    _print_check_hint(path)


def _problems(name: str, draft: RecipeDraft) -> list[str]:
    try:
        load_recipe(name, draft.recipe)
    except Invalid as error:
        return [problem.removeprefix(f"{name}.toml: ") for problem in error.problems]
    return []


@click.command()
def reference() -> None:
    """Print every key of a recipe file with its meaning."""
    click.echo(recipe_reference.render_reference())


def slug(text: str) -> str:
    """Return a recipe name made from another text, such as a host name."""
    return re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9]+", "-", text.lower()))[:MAX_NAME_CHARS].rstrip("-")


def new_recipe_path(name: str) -> Path:
    """Return the path of a new recipe, in RECIPES_DIR or the current folder; it must not exist yet."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise click.UsageError(
            f"{name!r} is not a valid recipe name: a lower-case letter first, then lower-case letters, digits, '-' or "
            "'_'."
        )
    folder = load_settings().recipes_dir or Path.cwd()
    return _require_absent(folder / f"{name}.toml")


def _require_absent(path: Path) -> Path:
    if path.exists():
        raise click.UsageError(f"{path} exists; choose another name or remove it first.")
    return path


def _recipe_paths(folder: Path) -> list[Path]:
    return [*folder.glob("*.toml"), *SHIPPED_RECIPES.glob("*.toml")]


def _print_check_hint(path: Path) -> None:
    click.echo(f"Check it with: RECIPES_DIR={path.parent} ./darkroom sites check {path.stem}")
