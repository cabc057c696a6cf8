"""The commands check, try and login, which open a site's page in a browser.

Exit codes: 0 success, 1 failure (for ``check``: an element cannot be used), 2 wrong usage or settings, 3 drift.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click
from playwright.async_api import Error
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, load_settings
from schemas.errors import DeadlineExceeded, Forbidden, Invalid, ServiceError, Unavailable
from schemas.images import formats
from schemas.images.input_images import InputFile
from schemas.jobs.job import JobRequest, Progress
from schemas.sites.recipe import Recipe
from stores.redis.client import open_any_client
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import SelectorDrift
from workers.sites.cli.browser_session import DisplayOptions, load_login, open_browser_context, open_credentials
from workers.sites.cli.check import check_page
from workers.sites.cli.image_files import read_image_files
from workers.sites.cli.selector_report import Requirement, SelectorResult, annotate
from workers.sites.driver.driver import Driver
from workers.sites.driver.selectors import ElementFinder, format_chain

MISSING_EXIT_CODE = 1
DRIFT_EXIT_CODE = 3
SIGN_IN_TIMEOUT_S = 600
POLL_INTERVAL_MS = 500

console = Console(highlight=False, soft_wrap=True)


@contextmanager
def _page_errors() -> Iterator[None]:
    """Translate errors of the site and of Playwright into click errors; the command group translates all others."""
    try:
        yield
    except Invalid:
        raise
    except Forbidden as error:
        raise click.UsageError(error.message) from error
    except ServiceError as error:
        raise click.ClickException(f"{error.message} ({error.code}) {error.hint}") from error
    except (Error, TimeoutError) as error:
        raise click.ClickException(str(error).partition("\n")[0] or "The page did not answer in time.") from error


@click.command()
@click.argument("name")
@click.option("--url", help="Check the page at this address instead of the recipe's.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Screenshot file; default: checks/NAME.png in DATA_DIR.",
)
@_page_errors()
def check(name: str, url: str | None, output: Path | None) -> None:
    """Check the selectors of the site NAME on its page, without generating.

    Exit code 1: an element is missing, hidden, disabled or covered; 3: drift.
    """
    settings = load_settings()
    recipe = _load_recipe(settings, name, url)
    _require_folder(output)
    results, screenshot = asyncio.run(check_page(settings, recipe, _report))
    matched_before = _last_matched(settings, name)
    table = Table("key", "matched selector", "", show_edge=False)
    for result in results:
        table.add_row(
            escape(result.target.name), escape(result.matched or "-"), _describe_result(result, matched_before)
        )
    console.print(table)
    path = output or settings.data_dir / "checks" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(annotate(screenshot, results))
    _report(f"Screenshot: {path}")
    if any(result.is_missing or (result.is_required and result.problem) for result in results):
        raise SystemExit(MISSING_EXIT_CODE)
    if any(_has_drifted(result, matched_before) for result in results):
        raise SystemExit(DRIFT_EXIT_CODE)


def _describe_result(result: SelectorResult, matched_before: dict[str, str]) -> str:
    if result.is_missing:
        tried = ", ".join(format_chain(chain) for chain in result.target.selectors)
        reason = f" {escape(result.problem)}" if result.problem else ""
        return f"[red]MISSING[/red], tried: {escape(tried)}{reason}"
    if result.problem:
        colour = "red" if result.is_required else "yellow"
        return f"[{colour}]{escape(result.problem)}[/{colour}]"
    if _has_drifted(result, matched_before):
        return f"[yellow]drift[/yellow], was: {escape(matched_before[result.first_selector])}"
    if result.target.requirement is Requirement.LATER and result.box is None:
        return "appears later"
    if result.matched is None:
        return "not on this page"
    return "ok" if result.matched == result.first_selector else "ok, by a later alternative"


def _has_drifted(result: SelectorResult, matched_before: dict[str, str]) -> bool:
    return result.matched is not None and matched_before.get(result.first_selector, result.matched) != result.matched


def _last_matched(settings: Settings, name: str) -> dict[str, str]:
    """Return the selectors that matched in the last good job; empty if Redis is not running."""
    try:
        return SelectorDrift(open_any_client(settings.redis_url), SystemClock()).get_matches(name)
    except Unavailable:
        return {}


@click.command(name="try")
@click.argument("name")
@click.argument("prompt")
@click.option("--url", help="Use the page at this address instead of the recipe's.")
@click.option("--lora", help="A LoRA of the site.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A further input, for example seed=7.")
@click.option("--image", "images", multiple=True, metavar="NAME=FILE", help="A picture for an image input.")
@click.option("--headed", is_flag=True, help="Show the browser.")
@click.option("--slow", "slow_ms", default=0, help="Wait this many milliseconds after each action.")
@click.option("--trace", type=click.Path(path_type=Path, dir_okay=False), help="Write a Playwright trace (zip).")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Image file; default: NAME and a suffix."
)
@_page_errors()
def try_(name: str, prompt: str, url: str | None, lora: str | None, inputs: tuple[str, ...], **options: Any) -> None:
    """Run one job of the site NAME in the foreground, and print every step."""
    settings = load_settings()
    recipe = _load_recipe(settings, name, url)
    _require_folder(options["output"])
    raw_inputs = dict(pair.partition("=")[::2] for pair in inputs)
    recipe.require_lora_support(lora)
    files = read_image_files(recipe, options.pop("images"))
    values = recipe.validate_inputs(raw_inputs) | dict.fromkeys(files)
    recipe.require_inputs(values)
    asyncio.run(_try(settings, recipe, JobRequest(name, prompt, lora, values), files, **options))


async def _try(
    settings: Settings,
    recipe: Recipe,
    request: JobRequest,
    files: Mapping[str, InputFile],
    *,
    headed: bool,
    slow_ms: int,
    trace: Path | None,
    output: Path | None,
) -> None:
    storage_state = await asyncio.to_thread(load_login, settings, recipe)
    if trace and storage_state is not None:
        raise Invalid("A trace would contain the site's credentials; omit --trace, or run 'sites forget' first.")
    async with open_browser_context(settings, recipe, storage_state, DisplayOptions(headed, slow_ms)) as context:
        if trace:
            await context.tracing.start(screenshots=True, snapshots=True)
        driver = Driver(context, recipe, on_step=_report)
        # No deadline while a person watches.
        timeout_s = None if headed or slow_ms else settings.job_deadline_s
        try:
            async with asyncio.timeout(timeout_s):
                await driver.open(request, files)
                await _generate(driver, output or Path(f"{recipe.name}.png"))
        except TimeoutError as error:
            raise DeadlineExceeded(f"The job took longer than {timeout_s} s.") from error
        finally:
            if trace:
                await context.tracing.stop(path=trace)
                _report(f"Trace: {trace}; open it with: playwright show-trace {trace}")


async def _generate(driver: Driver, output: Path) -> None:
    await driver.submit()
    async for update in driver.watch():
        _report(f"progress {update.percentage:g} %" if isinstance(update, Progress) else f"preview {len(update)} bytes")
    for number, image in enumerate(await driver.collect_images(), 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        path = path.with_suffix(f".{formats.BY_MEDIA_TYPE[image.media_type].extension}")
        await asyncio.to_thread(path.write_bytes, image.data)
        _report(f"{path}: {image.media_type}, {image.width}x{image.height}")


@click.command()
@click.argument("name")
@click.option("--state", type=click.File(), help="Import this storage state (Playwright's JSON) instead.")
@_page_errors()
def login(name: str, state: TextIO | None) -> None:
    """Sign in to the site NAME in a visible browser, and store the credentials encrypted."""
    settings = load_settings()
    recipe = Recipes.from_settings(settings).get(name)
    try:
        storage_state = json.load(state) if state else asyncio.run(_sign_in(settings, recipe))
    except ValueError as error:
        raise click.UsageError(f"--state: not JSON: {error}") from error
    open_credentials(settings).store(name, storage_state)
    _report(f"Signed in to {name}; the credentials are stored encrypted.")


async def _sign_in(settings: Settings, recipe: Recipe) -> dict[str, Any]:
    async with open_browser_context(settings, recipe, None, DisplayOptions(headed=True)) as context:
        page = await context.new_page()
        await page.goto(recipe.session.login_url or recipe.url)
        _report("Sign in in the browser window. It closes automatically afterwards.")
        finder = ElementFinder()
        signed_in = recipe.session.signed_in or recipe.steps[-1].selectors
        async with asyncio.timeout(SIGN_IN_TIMEOUT_S):
            while not await finder.find_present(page, signed_in):
                await page.wait_for_timeout(POLL_INTERVAL_MS)
        return dict(await context.storage_state())


def _load_recipe(settings: Settings, name: str, url: str | None) -> Recipe:
    """Return the recipe, for the page at ``url`` if given; raises Forbidden if its terms are not accepted."""
    recipe = Recipes.from_settings(settings).get(name)
    if url:
        recipe = replace(recipe, url=url, bundle=None)
    migrate(settings.database_url)
    AcceptedTerms(open_database(settings.database_url), SystemClock()).require(recipe)
    return recipe


def _require_folder(output: Path | None) -> None:
    if output and not output.absolute().parent.is_dir():
        raise click.UsageError(f"The output folder {str(output.parent)!r} does not exist.")


def _report(line: str) -> None:
    console.print(line, markup=False)
