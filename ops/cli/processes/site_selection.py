"""The choice of the site for ``up --site URL`` and ``SITE_URL``: the recipe for the program that answers there.

The result is put into the environment, as ``SITE`` and ``SITE_<NAME>_URL`` or ``RECIPES_DIR``, from which all processes
read it.
"""

import os
from pathlib import Path
from urllib.parse import urlsplit

import click

from ops.cli.groups import StartError
from ops.infra.settings import Settings, load_settings
from schemas.sites.recipe import Recipe
from stores.sites.recipes import Recipes
from workers.sites.learn.detection import (
    DetectedProgram,
    SiteNotRecognizedError,
    detect_program,
    is_local_host,
    page_url,
)
from workers.sites.learn.drafts import DraftError, learn_from_layout
from workers.sites.learn.recipe_draft import printable
from workers.sites.learn.recipe_files import choose_name, write_file

LEARNED_RECIPES = "recipes"


def select_site(settings: Settings, option: str | None) -> Settings:
    """Make the program at a URL the default site, and return the settings that say so.

    ``option`` is the value of ``--site``; without it, SITE_URL counts. A recipe of the user for the same URL is used
    as it is, so a program that was recognized once need not run now.

    Raises:
        StartError: nothing answers there, no recipe fits, or SITE contradicts SITE_URL.
    """
    url = option or settings.site_url
    if url is None:
        return settings
    if option is None and "SITE" in os.environ:
        raise StartError("SITE and SITE_URL are both set; remove one of them. SITE_<NAME>_URL is the address of SITE.")
    os.environ.pop("SITE_URL", None)
    folder = settings.recipes_dir or settings.data_dir / LEARNED_RECIPES
    if recipe := _find_own_recipe(folder, url):
        _use(recipe.name, folder)
        click.echo(f"Site {recipe.url}: the recipe {folder / recipe.name}.toml.")
        return load_settings()
    try:
        program = detect_program(url)
    except SiteNotRecognizedError as error:
        raise StartError(str(error)) from error
    if recipe := _find_own_recipe(folder, program.url):
        _use(recipe.name, folder)
        click.echo(f"Site {program.url}: the recipe {folder / recipe.name}.toml.")
    elif program.recipe:
        _use_included_recipe(program, program.recipe)
    else:
        _learn(program, folder)
    return load_settings()


def _find_own_recipe(folder: Path, url: str) -> Recipe | None:
    """Return the user's recipe for the page at a URL."""
    names = sorted(path.stem for path in folder.glob("*.toml"))
    if not names:
        return None
    recipes = Recipes(names[0], folder)
    return next((recipe for name in names if page_url((recipe := recipes.get(name)).url) == page_url(url)), None)


def _use(name: str, folder: Path) -> None:
    os.environ["SITE"] = name
    os.environ["RECIPES_DIR"] = str(folder)


def _use_included_recipe(program: DetectedProgram, name: str) -> None:
    known = {recipe.name for recipe in Recipes.from_settings(load_settings()).list_all()}
    if name not in known:
        raise StartError(
            f"{program.url} is {program.label}, for which this version of Darkroom has no recipe. "
            f"'./darkroom sites learn {program.url}' may write one."
        )
    os.environ["SITE"] = name
    os.environ[f"SITE_{name.upper().replace('-', '_')}_URL"] = program.url
    click.echo(f"Site {program.url}: {printable(program.label)}, with the recipe {name}.")


def _learn(program: DetectedProgram, folder: Path) -> None:
    """Write the recipe of a Gradio app from its layout; it is not tried, because that would take a generation."""
    if program.config is None:
        raise StartError(
            f"{program.url} is {program.label}. Run './darkroom sites learn {program.url}' first, which looks at the "
            "page, or write a recipe (docs/recipes.md)."
        )
    if not is_local_host(urlsplit(program.url).hostname or ""):
        raise StartError(
            f"{program.url} is on the public internet. If the page is your own, run './darkroom sites learn "
            f"{program.url} --own' first."
        )
    try:
        draft = learn_from_layout(program)[0]
    except DraftError as error:
        raise StartError(f"No recipe can be written for {program.url}: {error}") from error
    name = choose_name(None, program, folder)
    path = write_file(folder / f"{name}.toml", draft, tested=False)
    _use(name, folder)
    click.echo(printable(f"Site {program.url}: {program.label}. Wrote its recipe, {path}. {draft.summary}"))
    for doubt in draft.doubts:
        click.echo(printable(f"Uncertain: {doubt}"))
