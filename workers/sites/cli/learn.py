"""The command ``learn``: write a recipe for the page at a URL, try it once, and keep it if it works."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click
from rich.console import Console

from ops.infra.settings import SHIPPED_RECIPES, Settings, load_settings
from schemas.errors import ServiceError
from schemas.jobs.job import GeneratedImage
from schemas.sites.recipe import Recipe
from schemas.sites.recipe_schema import load_recipe
from workers.sites.cli.browser_session import DisplayOptions, open_browser_context
from workers.sites.learn.detection import DetectedProgram, SiteNotRecognizedError, detect_program, is_local_host
from workers.sites.learn.drafts import DraftError, learn_from_layout
from workers.sites.learn.page_survey import learn_from_page
from workers.sites.learn.recipe_draft import RecipeDraft, printable
from workers.sites.learn.recipe_files import choose_name, render_file, write_file
from workers.sites.learn.trial import describe_failure, try_recipe

MAX_TRIALS = 3
EMPTY_RECIPE = {
    "title": "A page",
    "description": "A page that is being looked at.",
    "consent": {"ownership": "own"},
    "steps": [{"type": "click", "selectors": ["body"], "submits": True}],
    "observe": {"done": {"selectors": ["img"]}},
}

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A draft after its trial; without a trial there are no pictures."""

    draft: RecipeDraft
    pictures: list[GeneratedImage]


@click.command()
@click.argument("url")
@click.option("--name", help="Name of the recipe; default: the app's title or host.")
@click.option("--no-try", is_flag=True, help="Write the recipe without trying it.")
@click.option("--own", is_flag=True, help="State that a page on the public internet is your own.")
def learn(url: str, name: str | None, no_try: bool, own: bool) -> None:
    """Write a recipe for the page at URL, try it once, and keep it in RECIPES_DIR or the current folder."""
    _require_own_page(url, own)
    settings = load_settings()
    folder = settings.recipes_dir or Path.cwd()
    try:
        program = detect_program(url)
    except SiteNotRecognizedError as error:
        raise click.ClickException(str(error)) from error
    _report(f"{program.url}: {program.label}.")
    if program.recipe and (SHIPPED_RECIPES / f"{program.recipe}.toml").exists():
        _report(f"The recipe {program.recipe!r} is for it: ./darkroom up --site {program.url}")
        return
    recipe_name = choose_name(name, program, folder)
    outcome = _learn(settings, program, recipe_name, with_trial=not no_try)
    path = write_file(folder / f"{recipe_name}.toml", outcome.draft, tested=bool(outcome.pictures))
    click.echo(render_file(outcome.draft, tested=bool(outcome.pictures)))
    for picture in outcome.pictures:
        _report(f"The trial made a picture: {picture.media_type}, {picture.width}x{picture.height}.")
    for doubt in outcome.draft.doubts:
        _report(f"Uncertain: {doubt}")
    _report(f"Wrote {path}. Use it with: RECIPES_DIR={folder} SITE={recipe_name} ./darkroom up")


def _learn(settings: Settings, program: DetectedProgram, name: str, *, with_trial: bool) -> _Outcome:
    """Return the first draft that makes a picture; without a trial, the most likely one."""
    try:
        drafts = _drafts(settings, program)
    except DraftError as error:
        raise click.ClickException(f"No recipe can be written for {program.url}: {printable(str(error))}") from error
    if not with_trial:
        return _Outcome(drafts[0], [])
    failures = []
    for draft in drafts[:MAX_TRIALS]:
        _report(f"Trying: {draft.summary}")
        try:
            return _Outcome(draft, asyncio.run(_try(settings, load_recipe(name, draft.recipe))))
        except ServiceError as error:
            failures.append(f"{draft.summary} {describe_failure(error)}")
            _report(f"The trial failed: {describe_failure(error)}")
    reasons = "".join(f"\n  {printable(failure)}" for failure in failures)
    raise click.ClickException(
        f"No recipe was kept, because no trial made a picture:{reasons}\n"
        "To keep the most likely recipe and correct it by hand, run this command with --no-try."
    )


def _drafts(settings: Settings, program: DetectedProgram) -> list[RecipeDraft]:
    """Return drafts from a Gradio app's layout, or one from a survey of the page; raises DraftError."""
    if program.config is not None:
        return learn_from_layout(program)
    _report("The page publishes no layout, so one generation is run to see where its picture appears.")
    return [asyncio.run(_survey(settings, program.url))]


async def _survey(settings: Settings, url: str) -> RecipeDraft:
    # Only the address of this recipe is used: the browser may reach no other private one.
    visitor = load_recipe("learned", {**EMPTY_RECIPE, "url": url})
    async with open_browser_context(settings, visitor, None, DisplayOptions()) as context:
        return await learn_from_page(context, url, settings.job_deadline_s, _report)


async def _try(settings: Settings, recipe: Recipe) -> list[GeneratedImage]:
    async with open_browser_context(settings, recipe, None, DisplayOptions()) as context:
        return await try_recipe(context, recipe, settings.job_deadline_s, _report)


def _require_own_page(url: str, own: bool) -> None:
    """Require a statement about a page on the public internet; its terms may forbid automation."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise click.UsageError(f"{url!r} is not an http:// or https:// URL.")
    if not own and not is_local_host(parts.hostname):
        raise click.UsageError(
            f"{parts.hostname} is on the public internet. If the page is your own, run this command with --own. For "
            "another's page, write a recipe with ownership = 'terms' (docs/recipes.md) after reading its terms."
        )


def _report(line: str) -> None:
    console.print(printable(line), markup=False)
