"""The looking at a site's page for ``check``: what is there at once, and what is there once something is opened.

Nothing is generated.
"""

from collections.abc import Callable, Iterable

from ops.infra.settings import Settings
from schemas.errors import ServiceError, SiteChanged
from schemas.sites.recipe import Recipe, Step
from workers.sites.cli.browser_session import DisplayOptions, load_login, open_browser_context
from workers.sites.cli.selector_report import (
    Requirement,
    SelectorResult,
    SelectorTarget,
    catalogue_targets,
    find_targets,
    page_targets,
)
from workers.sites.driver.driver import Driver

SETTLE_MS = 1_000


async def check_page(
    settings: Settings, recipe: Recipe, report: Callable[[str], None]
) -> tuple[list[SelectorResult], bytes]:
    """What was found of everything that the recipe names, and a screenshot (PNG) of the page as it opens.

    Raises:
        ServiceError: the page cannot be looked at, for another reason than that it has changed.
    """
    async with open_browser_context(settings, recipe, load_login(settings, recipe), DisplayOptions()) as context:
        driver = Driver(context, recipe)
        try:
            await driver.open()
        except SiteChanged as error:
            # What is missing on the way is itself a finding.
            report(error.message)
        findings = await find_targets(driver.page, page_targets(recipe))
        screenshot = await driver.page.screenshot(full_page=True)
        for name, known in recipe.inputs.items():
            if choices := known.choices_from:
                place = SelectorTarget(f"inputs.{name}.choices_from", choices.item, Requirement.ALWAYS)
                findings += await _check_after(driver, choices.open, [place], choices.close)
        if recipe.loras and recipe.loras.query:
            findings += await _check_after(
                driver, recipe.loras.open, catalogue_targets(recipe.loras), recipe.loras.close
            )
        return findings, screenshot


async def _check_after(
    driver: Driver, open_steps: tuple[Step, ...], targets: Iterable[SelectorTarget], close_steps: tuple[Step, ...]
) -> list[SelectorResult]:
    """The places that are there once ``opening`` has been played; all of them missing if that does not go."""
    try:
        await driver.run_steps(open_steps)
        await driver.page.wait_for_timeout(SETTLE_MS)
    except ServiceError:
        return [SelectorResult(place, None, None) for place in targets]
    found = await find_targets(driver.page, targets)
    try:
        await driver.run_steps(close_steps)
    except ServiceError:
        await driver.page.keyboard.press("Escape")
    return found
