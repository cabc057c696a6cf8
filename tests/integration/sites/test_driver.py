"""The driver on a page with the behaviour of real pages, in a real browser."""

import io
from dataclasses import replace

import pytest
from PIL import Image
from playwright.async_api import BrowserContext

from schemas.errors import BrowserLost, NeedsHuman, ServiceError, SiteChanged, SiteRefused, SiteSlow, SiteUnavailable
from schemas.jobs.job import JobRequest
from schemas.sites.observe import ErrorSpec
from schemas.sites.recipe import Recipe
from tests.conftest import describe_image
from tests.integration.sites.conftest import AttemptResult, drive, run_in_browser
from tests.support.fake_site import RESULT_SIZE, fake_site_recipe, result_png
from workers.sites.driver.driver import Driver

REQUEST = JobRequest("fake", "a {{sampler}} harbour", inputs={"sampler": "DPM++"})


def drive_in_browser(recipe: Recipe) -> AttemptResult:
    """Run one attempt at ``REQUEST`` in a new browser."""
    return run_in_browser(lambda context: drive(context, recipe, REQUEST))


@pytest.mark.parametrize(
    "way",
    [
        "blob",
        "revoked",
        "data",
        "direct",
        "forgotten",
        "elsewhere",
        "flood",
        "lies",
        "late",
        "same",
        "leaves",
        "streamed",
        "loads",
    ],
)
def test_the_original_bytes_are_captured(fake_site: str, way: str) -> None:
    """This holds for every way to show an image, with invalid messages and old results on the page."""
    [image] = drive_in_browser(fake_site_recipe(fake_site, way)).images

    assert (describe_image(result_png()), "image/png", *RESULT_SIZE, False) == (
        describe_image(image.data),
        image.media_type,
        image.width,
        image.height,
        image.lossy,
    )


def test_progress_and_previews_are_reported(fake_site: str) -> None:
    """Each step is reported once, and previews are downscaled."""
    result = drive_in_browser(fake_site_recipe(fake_site, "steps"))

    assert [progress.percentage for progress in result.progress] == [25.0, 50.0, 75.0, 100.0]
    assert len(set(result.previews)) >= 3
    with Image.open(io.BytesIO(result.previews[0])) as image:
        assert (image.format, image.size) == ("JPEG", (400, 300))


def test_values_are_filled_in_and_not_read_as_templates(fake_site: str) -> None:
    """A placeholder inside a prompt stays as it is."""

    async def title(context: BrowserContext) -> str:
        await drive(context, fake_site_recipe(fake_site, "blob"), REQUEST)
        return await context.pages[0].title()

    assert run_in_browser(title) == "a {{sampler}} harbour|DPM++"


@pytest.mark.parametrize(
    ("way", "path", "error", "message"),
    [
        ("refuse", "/", SiteRefused, "The site says: no."),
        ("captcha", "/", NeedsHuman, "robot"),
        ("blob", "/broken", SiteUnavailable, "503"),
        ("blob", "/hang", SiteUnavailable, "3 s"),
        ("blob", "/endless", SiteUnavailable, "reached"),
        ("blob", "/empty", SiteUnavailable, "is empty"),
        ("blob", "/mounting", SiteUnavailable, "shows only: Loading"),
        ("blob", "/covered", SiteSlow, "did not react in time"),
    ],
)
def test_failures_of_a_page_raise_specific_errors(
    fake_site: str, way: str, path: str, error: type[ServiceError], message: str
) -> None:
    """Refusals, CAPTCHAs and unavailable sites have different errors."""
    with pytest.raises(error, match=message):
        drive_in_browser(fake_site_recipe(fake_site, way, path))


def test_a_login_is_noticed_while_a_step_waits(fake_site: str) -> None:
    """Not only after it: the step may wait for longer than the job has."""
    recipe = fake_site_recipe(fake_site, path="/login")
    patient = replace(recipe, steps=tuple(replace(step, timeout_ms=120_000) for step in recipe.steps))

    with pytest.raises(NeedsHuman, match="Please sign in"):
        drive_in_browser(patient)


TOASTS = ErrorSpec(selectors=((".toast",),), source="text", wait_ms=1500)


def test_each_of_several_messages_counts(fake_site: str) -> None:
    """An old one that stays hides no new one; the message has no heading, cross or caption of a button."""
    recipe = fake_site_recipe(fake_site, "toasts")

    with pytest.raises(SiteRefused) as caught:
        drive_in_browser(replace(recipe, observe=replace(recipe.observe, error=(TOASTS,))))

    assert str(caught.value) == "The sampler has refused."


def test_a_page_that_reconnects_is_given_time(fake_site: str) -> None:
    """If it comes back in time, the job is finished; otherwise the site is unavailable, which is tried again."""
    recipe = fake_site_recipe(fake_site, "reconnects")
    [image] = drive_in_browser(replace(recipe, observe=replace(recipe.observe, error=(TOASTS,)))).images
    assert describe_image(result_png()) == describe_image(image.data)

    recipe = fake_site_recipe(fake_site, "lost")
    with pytest.raises(SiteUnavailable, match="Attempting reconnection"):
        drive_in_browser(replace(recipe, observe=replace(recipe.observe, error=(TOASTS,))))


def test_a_closed_port_is_an_unavailable_site() -> None:
    """It is not reported as a failure of the browser."""
    with pytest.raises(SiteUnavailable, match="cannot be reached"):
        drive_in_browser(fake_site_recipe("http://127.0.0.1:9"))


def test_a_missing_element_lists_the_selectors_tried(fake_site: str) -> None:
    """The message has every alternative of the step."""
    first, second, *rest = fake_site_recipe(fake_site).steps
    moved = replace(second, selectors=(("#one",), ("aria/Two",)), timeout_ms=200)

    with pytest.raises(SiteChanged, match="#one, aria/Two"):
        drive_in_browser(fake_site_recipe(fake_site, steps=(first, moved, *rest)))


def test_a_closed_page_is_a_lost_browser(fake_site: str) -> None:
    """This holds also for later calls of the driver."""

    async def submit_after_close(context: BrowserContext) -> None:
        driver = Driver(context, fake_site_recipe(fake_site, "nothing"))
        await driver.open(REQUEST)
        await context.close()
        await driver.submit()

    with pytest.raises(BrowserLost):
        run_in_browser(submit_after_close)


def test_the_failure_report_explains_a_failure(fake_site: str) -> None:
    """It has screenshot, console, failed requests and DOM, without secrets."""

    async def fail(context: BrowserContext) -> dict[str, object] | None:
        driver = Driver(context, fake_site_recipe(fake_site, "refuse"))
        await driver.open(REQUEST)
        await context.pages[0].evaluate("console.warn('token=hunter2'); fetch('/broken')")
        await driver.submit()
        with pytest.raises(SiteRefused):
            async for _ in driver.watch():
                pass
        return await driver.build_failure_report()

    report = run_in_browser(fail)

    assert report
    assert [line for line in report["console"] if "token" in line] == ["warning: token=[redacted]"]  # type: ignore[attr-defined]
    assert any("/broken: 503" in line for line in report["requests"])  # type: ignore[attr-defined]
    assert "The site says" in str(report["dom"])
    assert str(report["screenshot"]).startswith("data:image/jpeg;base64,")
