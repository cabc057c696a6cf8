"""The command ``darkroom sites learn``."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.sites.recipes import Recipes
from tests.integration.sites.conftest import run_attempt
from tests.integration.sites.test_recipe_tools import run_sites_command, run_sites_process
from tests.support.programs.plain_pages import serve_plain_pages
from workers.sites.learn import page_survey


@pytest.fixture(scope="module")
def pages() -> Iterator[str]:
    """Serve pages of unknown make; yields the base URL."""
    with serve_plain_pages() as address:
        yield address


def test_learn_keeps_a_recipe_that_was_tried(tmp_path: Path, programs: str) -> None:
    """The recipe of a Gradio app is printed, written with its doubts, and marked as tested."""
    code, printed = run_sites_command(tmp_path, "learn", f"{programs}/renamed/", "--name", "mine")

    assert code == 0, printed
    assert "[observe.done]" in printed
    assert "The trial made a picture" in printed
    recipe = Recipes("mine", tmp_path).get("mine")
    assert recipe.tested
    assert recipe.tested.real
    assert "Gradio" in recipe.tested.with_
    assert recipe.inputs["lucky_number"].default == 7
    assert run_attempt(recipe, "a barn", lucky_number=3).shows_images_of("a barn|3", 0)
    # A second recipe of the same name is not written.
    assert run_sites_command(tmp_path, "learn", f"{programs}/renamed/", "--name", "mine")[0] == 2


def test_learn_names_the_recipe_of_a_known_program(tmp_path: Path, programs: str) -> None:
    """No recipe is written where one is included."""
    code, printed = run_sites_process(tmp_path, "learn", f"{programs}/fooocus/")

    assert code == 0, printed
    assert "The recipe 'fooocus' is for it" in printed
    assert not list(tmp_path.glob("*.toml"))


def test_learn_keeps_nothing_if_the_trial_fails(tmp_path: Path, programs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is printed; --no-try writes the recipe all the same, without calling it tested."""
    monkeypatch.setitem(os.environ, "JOB_DEADLINE_S", "1")
    code, printed = run_sites_command(tmp_path, "learn", f"{programs}/gradio/", "--name", "mine")
    assert code == 1
    assert "No recipe was kept" in printed
    assert "deadline_exceeded" in printed
    assert not list(tmp_path.glob("*.toml"))

    assert run_sites_command(tmp_path, "learn", f"{programs}/gradio/", "--name", "mine", "--no-try")[0] == 0
    assert Recipes("mine", tmp_path).get("mine").tested is None


@pytest.mark.parametrize("name", ["working", "canvas"])
def test_learn_finds_the_parts_of_a_page_of_unknown_make(tmp_path: Path, pages: str, name: str) -> None:
    """The prompt, the button and the picture that is new."""
    code, printed = run_sites_command(tmp_path, "learn", f"{pages}/{name}", "--name", name)

    assert code == 0, printed
    recipe = Recipes(name, tmp_path).get(name)
    assert (recipe.observe.busy is not None) is (name == "working")
    assert recipe.observe.done.source == {"working": "src", "canvas": "canvas"}[name]
    assert "Uncertain: " in printed
    assert len(run_attempt(recipe, "a red barn").images) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ambiguous", 'no button\'s name says that it generates. The page\'s buttons: "Alpha", "Beta"'),
        ("fieldless", "no text field"),
        ("silent", "The page shows: Out of credits."),
    ],
)
def test_learn_never_guesses_in_silence(
    tmp_path: Path, pages: str, name: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be told is said, and nothing is written."""
    monkeypatch.setitem(os.environ, "JOB_DEADLINE_S", "8")
    monkeypatch.setattr(page_survey, "FIELDS_TIMEOUT_S", 8.0)
    code, printed = run_sites_command(tmp_path, "learn", f"{pages}/{name}")

    assert code == 1, printed
    assert reason in printed
    assert not list(tmp_path.glob("*.toml"))


@pytest.mark.parametrize(
    ("url", "code", "reason"),
    [
        ("http://127.0.0.1:9/", 1, "does not answer"),
        ("ftp://127.0.0.1/", 2, "is not an http:// or https:// URL"),
        ("https://example.com/app", 2, "--own"),
    ],
)
def test_learn_says_what_is_wrong_with_a_url(tmp_path: Path, url: str, code: int, reason: str) -> None:
    """A page on the public internet needs a statement that it is one's own."""
    ended, printed = run_sites_command(tmp_path, "learn", url)

    assert ended == code
    assert reason in printed
