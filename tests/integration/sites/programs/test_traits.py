"""What real programs do to a job: stale pictures, signs of work that lie, silence after an error."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import NoPicture
from schemas.jobs.job import JobRequest
from schemas.sites.recipe import CancelSpec
from tests.integration.sites.conftest import run_attempt, run_in_browser, shipped_recipe
from tests.support.fake_site.shared_outputs import SharedOutputs, serve_shared_outputs
from workers.sites.driver.driver import Driver


@pytest.fixture(scope="module")
def program() -> Iterator[SharedOutputs]:
    """A program with the page of Fooocus."""
    with serve_shared_outputs() as running:
        yield running


def test_a_sign_of_work_that_stays_does_not_keep_the_result(program: SharedOutputs) -> None:
    """The pictures came, and nothing happens any more: the job ends with them, long before its deadline."""
    result = run_attempt(shipped_recipe("fooocus", program.url), "a light that stays on")

    assert result.shows_images_of("a light that stays on", 0, 1)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("explode quietly", "without a new picture"), ("a missing page", r"/gone\.png: 404")],
)
def test_a_page_that_ends_without_a_picture_is_an_error_of_its_own(
    program: SharedOutputs, prompt: str, message: str
) -> None:
    """Previews that were shown before are not taken for the result."""
    with pytest.raises(NoPicture, match=message):
        run_attempt(shipped_recipe("fooocus", program.url), prompt)


def test_a_job_that_waits_in_the_programs_queue_is_removed(program: SharedOutputs) -> None:
    """What the program works on at that time belongs to another person, and goes on."""
    program.submit("slow work of another person")
    recipe = shipped_recipe("fooocus", program.url)

    async def submit_and_stop(context: BrowserContext) -> str:
        driver = Driver(context, recipe)
        await driver.open(JobRequest("fooocus", "the second of two"))
        await driver.submit()
        return await driver.stop_program()

    assert run_in_browser(submit_and_stop) == "The site's program was stopped."
    assert program.log.count("removed the second of two") == 1
    assert "started the second of two" not in program.log
    assert program.log[-2] == "started slow work of another person"
    program.stop("slow work of another person")


def test_the_end_of_a_job_says_that_a_program_cannot_be_stopped(program: SharedOutputs) -> None:
    """The recipe says so; without any statement, the end of the job says that it is unknown."""
    recipe = shipped_recipe("fooocus", program.url)

    async def submit_and_stop(context: BrowserContext, cancel: CancelSpec | None) -> str:
        driver = Driver(context, replace(recipe, cancel=cancel))
        await driver.open(JobRequest("fooocus", "a short one"))
        assert not await driver.stop_program()
        await driver.submit()
        return await driver.stop_program()

    assert "cannot be stopped" in run_in_browser(lambda context: submit_and_stop(context, CancelSpec(unstoppable=True)))
    assert "does not say" in run_in_browser(lambda context: submit_and_stop(context, None))
