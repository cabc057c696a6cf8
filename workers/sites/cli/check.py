"""The looking at a site's page for ``check``: what is there at once, and what is there once something is opened.

Nothing is generated.
"""

from collections.abc import Callable, Iterable

from ops.infra.settings import Settings
from schemas.errors import ServiceError, SiteChanged
from schemas.sites.recipe import Recipe, Step
from workers.sites.cli.browser_session import Looks, browsing, login_of
from workers.sites.cli.selector_report import Finding, Need, Place, look, places_in_catalogue, places_of
from workers.sites.driver.driver import Driver

SETTLE_MS = 1_000


async def findings_of(settings: Settings, recipe: Recipe, say: Callable[[str], None]) -> tuple[list[Finding], bytes]:
    """What was found of everything that the recipe names, and a screenshot (PNG) of the page as it opens.

    Raises:
        ServiceError: the page cannot be looked at, for another reason than that it has changed.
    """
    async with browsing(settings, recipe, login_of(settings, recipe), Looks()) as context:
        driver = Driver(context, recipe)
        try:
            await driver.open()
        except SiteChanged as error:
            # What is missing on the way is itself a finding.
            say(error.message)
        findings = await look(driver.page, places_of(recipe))
        screenshot = await driver.page.screenshot(full_page=True)
        for name, known in recipe.inputs.items():
            if choices := known.choices_from:
                place = Place(f"inputs.{name}.choices_from", choices.item, Need.ALWAYS)
                findings += await _behind(driver, choices.open, [place], choices.close)
        if recipe.loras and recipe.loras.query:
            findings += await _behind(driver, recipe.loras.open, places_in_catalogue(recipe.loras), recipe.loras.close)
        return findings, screenshot


async def _behind(
    driver: Driver, opening: tuple[Step, ...], places: Iterable[Place], closing: tuple[Step, ...]
) -> list[Finding]:
    """The places that are there once ``opening`` has been played; all of them missing if that does not go."""
    try:
        await driver.play(opening)
        await driver.page.wait_for_timeout(SETTLE_MS)
    except ServiceError:
        return [Finding(place, None, None) for place in places]
    found = await look(driver.page, places)
    try:
        await driver.play(closing)
    except ServiceError:
        await driver.page.keyboard.press("Escape")
    return found
