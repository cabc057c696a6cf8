"""The commands of the kit that need a browser: check, try, login."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from playwright.async_api import Error
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.infra.browser_install import BrowserNotFoundError
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, SettingsError, load_settings
from schemas.errors import DeadlineExceeded, Forbidden, Invalid, ServiceError, Unavailable
from schemas.images import formats
from schemas.jobs.job import JobRequest, Progress
from schemas.sites.recipe import Recipe
from stores.redis.client import open_client
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import SelectorDrift
from workers.sites.cli.browser_session import DisplayOptions, load_login, open_browser_context, open_credentials
from workers.sites.cli.check import check_page
from workers.sites.cli.selector_report import Requirement, SelectorResult, annotate
from workers.sites.driver.driver import Driver
from workers.sites.driver.selectors import ElementFinder, format_chain

MISSING_EXIT_CODE = 1
DRIFT_EXIT_CODE = 3
SIGN_IN_TIMEOUT_S = 600
POLL_INTERVAL_MS = 500
T = TypeVar("T")

console = Console(highlight=False, soft_wrap=True)


@click.group()
def kit() -> None:
    """Look at a site's page, try it, sign in to it."""


@kit.command()
@click.argument("name")
@click.option("--url", help="Look at this address instead of the recipe's.")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where the screenshot goes.")
def check(name: str, url: str | None, output: Path | None) -> None:
    """Look for everything that the recipe of the site NAME names, without generating; exit 1: missing, 3: drift."""
    settings = _settings()
    recipe = _recipe(settings, name, url)
    _require_accepted_terms(settings, recipe)
    _check_folder(output)
    findings, screenshot = _run(check_page(settings, recipe, _say))
    before = _last_matched(settings, name)
    _print(findings, before)
    path = output or Path(f"{name}-check.png")
    path.write_bytes(annotate(screenshot, findings))
    _say(f"Screenshot: {path}")
    if any(finding.is_missing for finding in findings):
        raise SystemExit(MISSING_EXIT_CODE)
    if any(_has_drifted(finding, before) for finding in findings):
        raise SystemExit(DRIFT_EXIT_CODE)


def _print(findings: list[SelectorResult], before: dict[str, str]) -> None:
    table = Table("place", "found by", "", show_edge=False)
    for finding in findings:
        table.add_row(escape(finding.target.name), escape(finding.matched or "-"), _describe_result(finding, before))
    console.print(table)


def _describe_result(finding: SelectorResult, before: dict[str, str]) -> str:
    if finding.is_missing:
        return "[red]MISSING[/red], tried: " + escape(
            ", ".join(format_chain(chain) for chain in finding.target.selectors)
        )
    if _has_drifted(finding, before):
        return f"[yellow]drift[/yellow], was: {escape(before[finding.first_selector])}"
    if finding.matched is None:
        return "comes later" if finding.target.requirement is Requirement.LATER else "not on this page"
    return "ok" if finding.matched == finding.first_selector else "ok, by a later alternative"


def _has_drifted(finding: SelectorResult, before: dict[str, str]) -> bool:
    return finding.matched is not None and before.get(finding.first_selector, finding.matched) != finding.matched


def _last_matched(settings: Settings, name: str) -> dict[str, str]:
    """What was found by what when a job last went well; nothing where no Darkroom runs."""
    try:
        return SelectorDrift(open_client(settings.redis_url), SystemClock()).get_matches(name)
    except Unavailable:
        return {}


@kit.command(name="try")
@click.argument("name")
@click.argument("prompt")
@click.option("--url", help="Use this address instead of the recipe's.")
@click.option("--lora", help="A LoRA of the site.")
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A further input, such as seed=7.")
@click.option("--headed", is_flag=True, help="Show the browser.")
@click.option("--slow", "slow_ms", default=0, help="Wait so many milliseconds after each act.")
@click.option("--trace", type=click.Path(path_type=Path, dir_okay=False), help="Write a Playwright trace (zip).")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where the picture goes.")
def try_(name: str, prompt: str, url: str | None, lora: str | None, inputs: tuple[str, ...], **options: Any) -> None:
    """Run one job of the site NAME in the foreground, and print every step."""
    settings = _settings()
    recipe = _recipe(settings, name, url)
    _require_accepted_terms(settings, recipe)
    _check_folder(options["output"])
    given = dict(one.partition("=")[::2] for one in inputs)
    try:
        recipe.require_lora_support(lora)
        submission = JobRequest(name, prompt, lora, recipe.validate_inputs(given))
    except Invalid as error:
        raise click.UsageError(" ".join(error.problems)) from error
    _run(_try(settings, recipe, submission, **options))


async def _try(
    settings: Settings,
    recipe: Recipe,
    submission: JobRequest,
    *,
    headed: bool,
    slow_ms: int,
    trace: Path | None,
    output: Path | None,
) -> None:
    state = await asyncio.to_thread(load_login, settings, recipe)
    if trace and state is not None:
        raise Invalid("A trace would hold the login of this site; leave --trace out, or run 'sites forget' first.")
    async with open_browser_context(settings, recipe, state, DisplayOptions(headed, slow_ms)) as context:
        if trace:
            await context.tracing.start(screenshots=True, snapshots=True)
        driver = Driver(context, recipe, on_step=_say)
        # Who watches may take as long as they like.
        patience_s = None if headed or slow_ms else settings.job_deadline_s
        try:
            async with asyncio.timeout(patience_s):
                await _generate(driver, submission, output or Path(f"{recipe.name}.png"))
        except TimeoutError as error:
            raise DeadlineExceeded(f"It took longer than {patience_s} s.") from error
        finally:
            if trace:
                await context.tracing.stop(path=trace)
                _say(f"Trace: {trace}; see it with: playwright show-trace {trace}")


async def _generate(driver: Driver, submission: JobRequest, output: Path) -> None:
    await driver.open(submission)
    await driver.submit()
    async for shown in driver.watch():
        _say(f"progress {shown.percentage:g} %" if isinstance(shown, Progress) else f"preview {len(shown)} bytes")
    for number, picture in enumerate(await driver.collect_images(), 1):
        path = output if number == 1 else output.with_stem(f"{output.stem}-{number}")
        path = path.with_suffix(f".{formats.BY_MEDIA_TYPE[picture.media_type].extension}")
        await asyncio.to_thread(path.write_bytes, picture.data)
        _say(f"{path}: {picture.media_type}, {picture.width}x{picture.height}")


@kit.command()
@click.argument("name")
@click.option("--state", type=click.File(), help="Take this storage state (Playwright's JSON) instead of a browser.")
def login(name: str, state: TextIO | None) -> None:
    """Open the site NAME in a browser that you see, and keep the login, encrypted, once you are signed in."""
    settings = _settings()
    recipe = _recipe(settings, name, None)
    try:
        kept = json.load(state) if state else _run(_sign_in(settings, recipe))
        open_credentials(settings).store(name, kept)
    except ValueError as error:
        raise click.UsageError(f"--state: not JSON: {error}") from error
    except Invalid as error:
        raise click.UsageError(error.message) from error
    _say(f"Signed in to {name}; kept encrypted.")


async def _sign_in(settings: Settings, recipe: Recipe) -> dict[str, Any]:
    async with open_browser_context(settings, recipe, None, DisplayOptions(headed=True)) as context:
        page = await context.new_page()
        await page.goto(recipe.session.login_url or recipe.url)
        _say("Sign in in the window; it closes by itself once you are.")
        finder = ElementFinder()
        signed_in = recipe.session.signed_in or recipe.steps[-1].selectors
        async with asyncio.timeout(SIGN_IN_TIMEOUT_S):
            while not await finder.find_present(page, signed_in):
                await page.wait_for_timeout(POLL_INTERVAL_MS)
        state: dict[str, Any] = dict(await context.storage_state())
        return state


def _require_accepted_terms(settings: Settings, recipe: Recipe) -> None:
    migrate(settings.database_url)
    try:
        AcceptedTerms(open_database(settings.database_url), SystemClock()).require(recipe)
    except Forbidden as error:
        raise click.UsageError(error.message) from error


def _check_folder(output: Path | None) -> None:
    if output and not output.absolute().parent.is_dir():
        raise click.UsageError(f"There is no folder {str(output.parent)!r} to write to.")


def _say(line: str) -> None:
    console.print(line, markup=False)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        raise click.UsageError(str(error)) from error


def _recipe(settings: Settings, name: str, url: str | None) -> Recipe:
    try:
        recipe = Recipes.from_settings(settings).get(name)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        raise click.UsageError(" ".join(error.problems)) from error
    return replace(recipe, url=url, bundle=None) if url else recipe


def _run(work: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(work)
    except BrowserNotFoundError as error:
        raise click.UsageError(str(error)) from error
    except ServiceError as error:
        raise click.ClickException(f"{error.message} ({error.code}) {error.hint}") from error
    except (Error, TimeoutError) as error:
        raise click.ClickException(str(error).partition("\n")[0] or "It took too long.") from error
