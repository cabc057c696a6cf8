"""Checks a recipe's selectors against the site's page, without generating anything.

The elements of the steps are looked at in their order, and steps that open a tab or an accordion are run. Then follow
those elements that appear after opening a list or the LoRA catalogue.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from ops.infra.settings import Settings
from schemas.errors import ServiceError, SiteChanged, SiteSlow
from schemas.sites.recipe import Recipe, Step
from schemas.sites.templates import PLACEHOLDER
from workers.sites.cli.browser_session import DisplayOptions, load_login, open_browser_context
from workers.sites.cli.selector_report import (
    COVERED,
    DISABLED,
    Requirement,
    SelectorResult,
    SelectorTarget,
    catalogue_targets,
    find_targets,
    page_targets,
    step_target,
)
from workers.sites.driver.driver import Driver
from workers.sites.driver.selectors import ElementFinder

SETTLE_MS = 1_000
# Time for overlays of a loading page to disappear.
COVERED_TIMEOUT_S = 5.0
POLL_MS = 200
# The page has loaded by the time at which fields are looked at that only some pages have.
LOADED_TIMEOUT_MS = 2_000
CHECK_PROMPT = "a lighthouse at dusk"


async def check_page(
    settings: Settings, recipe: Recipe, report: Callable[[str], None]
) -> tuple[list[SelectorResult], bytes]:
    """Return a result for every selector of the recipe, and a screenshot (PNG) of the page as it opens.

    Raises:
        ServiceError: the page cannot be opened, for another reason than a missing element.
    """
    async with open_browser_context(settings, recipe, load_login(settings, recipe), DisplayOptions()) as context:
        return await check_with_driver(Driver(context, recipe), recipe, report)


async def check_with_driver(
    driver: Driver, recipe: Recipe, report: Callable[[str], None]
) -> tuple[list[SelectorResult], bytes]:
    """Open the page and return what ``check_page`` does; raises as it does."""
    try:
        await driver.open()
    except (SiteChanged, SiteSlow) as error:
        # The results below show what is missing.
        report(error.message)
    results = await _check_steps(driver, recipe)
    results += await find_targets(driver.page, page_targets(recipe))
    screenshot = await driver.page.screenshot(full_page=True)
    for name, spec in recipe.inputs.items():
        if choices := spec.choices_from:
            target = SelectorTarget(f"inputs.{name}.choices_from", choices.item, Requirement.ALWAYS)
            results += await _check_after(driver, choices.open, [target], choices.close)
    if (loras := recipe.loras) and loras.query:
        results += await _check_after(driver, loras.open, list(catalogue_targets(loras)), loras.close)
    return results, screenshot


async def _check_steps(driver: Driver, recipe: Recipe) -> list[SelectorResult]:
    """Check the elements of the steps, up to the step that submits."""
    results: list[SelectorResult] = []
    deadline = time.monotonic() + COVERED_TIMEOUT_S
    for number, step in enumerate(recipe.steps):
        if not step.selectors:
            continue
        target = step_target(number, step)
        try:
            if step.name == "open":
                if step.when:
                    await ElementFinder().find(
                        driver.page, (*step.reveals, *step.selectors), timeout_ms=LOADED_TIMEOUT_MS
                    )
                await driver.run_steps((replace(step, when=None),))
        except ServiceError as error:
            results.append(SelectorResult(target, None, None, error.message))
            continue
        found = await _find_uncovered(driver, target, deadline)
        if step.submits and found.problem == DISABLED and await _fill_in_prompt(driver, recipe):
            # Some pages enable the button only once there is a prompt.
            found = await _find_uncovered(driver, target, deadline)
        results.append(found)
        if step.submits:
            later = recipe.steps[number + 1 :]
            targets = [step_target(number + 1 + offset, step) for offset, step in enumerate(later) if step.selectors]
            return results + await find_targets(
                driver.page, [replace(target, requirement=Requirement.LATER) for target in targets]
            )
    return results


async def _find_uncovered(driver: Driver, target: SelectorTarget, deadline: float) -> SelectorResult:
    """Find the target of a step; until the deadline wait for what covers it to go, as when the page is loading."""
    while True:
        [found] = await find_targets(driver.page, [target])
        if not found.problem.startswith(COVERED) or time.monotonic() >= deadline:
            return found
        await driver.page.wait_for_timeout(POLL_MS)


async def _fill_in_prompt(driver: Driver, recipe: Recipe) -> bool:
    """Fill in the prompt without submitting it; returns whether that was possible."""
    steps = [step for step in recipe.steps if step.type == "change" and "prompt" in PLACEHOLDER.findall(step.value)]
    try:
        await driver.run_steps(tuple(replace(step, value=CHECK_PROMPT) for step in steps))
        await driver.page.wait_for_timeout(SETTLE_MS)
    except ServiceError:
        return False
    return True


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
