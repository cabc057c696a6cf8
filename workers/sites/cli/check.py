"""Checks a recipe's selectors against the site's page, without generating anything.

Elements that are visible at once are checked first, then those that appear after opening a list or the LoRA catalogue.
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
    """Return a result for every selector of the recipe, and a screenshot (PNG) of the page as it opens.

    Raises:
        ServiceError: the page cannot be opened, for another reason than a missing element.
    """
    async with open_browser_context(settings, recipe, load_login(settings, recipe), DisplayOptions()) as context:
        driver = Driver(context, recipe)
        try:
            await driver.open()
        except SiteChanged as error:
            # The results below show what is missing.
            report(error.message)
        results = await find_targets(driver.page, page_targets(recipe))
        screenshot = await driver.page.screenshot(full_page=True)
        for name, spec in recipe.inputs.items():
            if choices := spec.choices_from:
                target = SelectorTarget(f"inputs.{name}.choices_from", choices.item, Requirement.ALWAYS)
                results += await _check_after(driver, choices.open, [target], choices.close)
        if (loras := recipe.loras) and loras.query:
            results += await _check_after(driver, loras.open, list(catalogue_targets(loras)), loras.close)
        return results, screenshot


async def _check_after(
    driver: Driver, open_steps: tuple[Step, ...], targets: Iterable[SelectorTarget], close_steps: tuple[Step, ...]
) -> list[SelectorResult]:
    """Run ``open_steps`` and find the targets; all of them are missing if the steps fail."""
    try:
        await driver.run_steps(open_steps)
        await driver.page.wait_for_timeout(SETTLE_MS)
    except ServiceError:
        return [SelectorResult(target, None, None) for target in targets]
    results = await find_targets(driver.page, targets)
    try:
        await driver.run_steps(close_steps)
    except ServiceError:
        await driver.page.keyboard.press("Escape")
    return results
