"""The recipe ``gradio`` on pages of our own, on the real versions of Gradio."""

import pytest

from schemas.errors import NeedsHuman, NoPicture, ServiceError, SiteFailed, SiteRefused
from schemas.sites.recipe import Recipe
from tests.integration.sites.conftest import shipped_recipe
from tests.integration.sites.programs.conftest import SharedBrowser, picture_hashes
from tests.support.programs.gradio_server import GradioServer

# The first test of a version waits for its environment, which may have to be made.
pytestmark = pytest.mark.timeout(600)
PROMPT = "a lighthouse at dusk"


def gradio_recipe(gradio: GradioServer, page: str) -> Recipe:
    """The recipe for a page."""
    return shipped_recipe("gradio", f"{gradio.url}/{page}/")


def test_two_pictures_after_previews(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The finished pictures are delivered byte for byte, after previews, with every input taken."""
    inputs = {"negative_prompt": "fog", "seed": 7, "steps": 12, "sampler": "DPM++ 2M"}

    result = browser.attempt(gradio_recipe(gradio, "streamed"), PROMPT, **inputs)

    assert result.shows_images_of(f"{PROMPT}|fog|7|12|DPM++ 2M", 0, 1)
    assert gradio.hashes(PROMPT) == picture_hashes(result)
    assert len(set(result.previews)) >= 2


@pytest.mark.parametrize("page", ["captions", "once"])
def test_a_gallery_with_captions_and_a_generator_that_yields_once(
    gradio: GradioServer, browser: SharedBrowser, page: str
) -> None:
    """Both pictures come back as they are."""
    prompt = f"{page} lamp"

    result = browser.attempt(gradio_recipe(gradio, page), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)
    assert result.shows_images_of(prompt, 0, 1)


def test_an_interface(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The button of ``gr.Interface`` is found, and its one picture comes back."""
    result = browser.attempt(gradio_recipe(gradio, "interface"), PROMPT, seed=3)

    assert result.shows_images_of(f"{PROMPT}|3", 0)


def test_progress(gradio: GradioServer, browser: SharedBrowser) -> None:
    """Percentages of the page's progress bar are reported, and nothing else that looks like numbers."""
    prompt = "a counted lamp"

    result = browser.attempt(gradio_recipe(gradio, "progress"), prompt)

    assert result.shows_images_of(prompt, 0, 1)
    assert {update.percentage for update in result.progress} <= {25.0, 50.0, 75.0, 100.0}
    assert len(result.progress) >= 2


def test_a_picture_in_an_input_is_not_a_result(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The page shows a picture from the beginning, and previews in its result."""
    prompt = "a repainted lamp"

    result = browser.attempt(gradio_recipe(gradio, "img2img"), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)


def test_a_page_that_never_shows_that_it_works(gradio: GradioServer, browser: SharedBrowser) -> None:
    """Neither the picture that was there before nor a preview is the result."""
    prompt = "a hidden lamp"

    result = browser.attempt(gradio_recipe(gradio, "hidden"), prompt)

    assert gradio.hashes(prompt) == picture_hashes(result)


def test_a_refusal_has_the_words_of_the_page(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The message of ``gr.Error`` becomes the error's message, without the captions around it."""
    with pytest.raises(SiteRefused, match=r"^That prompt is not allowed here\.$"):
        browser.attempt(gradio_recipe(gradio, "streamed"), "a forbidden thing")


def test_an_exception_after_a_preview_is_a_failure_of_the_program(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The preview is no result, and the prompt is not to blame: the job is tried again."""
    with pytest.raises((SiteFailed, NoPicture)) as caught:
        browser.attempt(gradio_recipe(gradio, "streamed"), "a crash")

    assert caught.value.retryable


def test_out_of_memory_is_tried_again(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The words say that the program failed, not that the prompt is refused."""
    with pytest.raises(ServiceError, match="out of memory") as caught:
        browser.attempt(gradio_recipe(gradio, "streamed"), "an exhausting lamp")

    assert caught.value.retryable


def test_a_page_that_shows_nothing_new_has_an_error_of_its_own(gradio: GradioServer, browser: SharedBrowser) -> None:
    """The page is idle again and its gallery is empty; the previews before are no result."""
    with pytest.raises(NoPicture):
        browser.attempt(gradio_recipe(gradio, "streamed"), "nothing to see")


def test_a_login_needs_a_person(gradio: GradioServer, browser: SharedBrowser) -> None:
    """A login page is noticed as one while the prompt's field is awaited."""
    with pytest.raises(NeedsHuman):
        browser.attempt(gradio_recipe(gradio, "login"), PROMPT)
