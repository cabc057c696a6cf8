"""``darkroom sites check`` looks at the elements of a page as a person does."""

import functools
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.async_api import BrowserContext

from tests.integration.sites.conftest import run_in_browser
from tests.integration.sites.test_recipe_tools import run_sites_command
from workers.sites.cli.selector_report import Requirement, SelectorTarget, find_targets

FIELD = '<input id="field" style="width: 200px">'
WINDOW = """<div class="mask big" style="position: fixed; inset: 0"><p><b>Get started with
a template</b></p></div>"""
SHADOW = """<div id="host"></div><script>
host.attachShadow({ mode: "open" }).innerHTML = '<button id="field"><i>Go</i></button>';
</script>"""
FAR_AWAY = f'<div style="height: 5000px"></div><div style="overflow: auto; height: 50px">{"<p>x</p>" * 50}{FIELD}</div>'


def look(content: str, *, is_filled: bool = False) -> tuple[str | None, str]:
    """Return the alternative that is found on a page, and what keeps a person from using it."""

    async def run(context: BrowserContext) -> tuple[str | None, str]:
        page = await context.new_page()
        await page.set_content(content)
        selectors = (("#absent",), ("#field",), ("#second",))
        [result] = await find_targets(page, [SelectorTarget("a", selectors, Requirement.ALWAYS, is_filled)])
        assert await page.evaluate("scrollY") == 0
        return result.matched, result.problem

    return run_in_browser(run)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (FIELD, ""),
        (FAR_AWAY, ""),
        (SHADOW, ""),
        ('<label>Tiles <input type="checkbox" id="field"><span style="margin-left: -16px">✓</span></label>', ""),
        (f'{FIELD}<p id="second">also there</p>', ""),
        (f'<div style="display: none">{FIELD}</div>', "hidden"),
        (f'<div style="visibility: hidden">{FIELD}</div>', "hidden"),
        (f"<details>{FIELD}</details>", "hidden"),
        (f"<fieldset disabled>{FIELD}</fieldset>", "disabled"),
        ('<button id="field" aria-disabled="true">Go</button>', "disabled"),
        (f"<div inert>{FIELD}</div>", "disabled by its surroundings (inert)"),
        (f"{FIELD}{WINDOW}", 'covered by div.mask.big "Get started with a template"'),
        (f'<div style="position: absolute; left: -900px">{FIELD}</div>', "outside the window, even after scrolling"),
    ],
)
def test_what_keeps_a_person_from_an_element_is_named(content: str, problem: str) -> None:
    """An element must be visible, enabled, and not covered where a person clicks."""
    assert look(content) == ("#field", problem)


def test_a_visible_alternative_comes_before_a_hidden_one() -> None:
    """A job uses the visible one too."""
    assert look(f'<div hidden>{FIELD}</div><button id="second">Go</button>') == ("#second", "")


@pytest.mark.parametrize(("is_filled", "problem"), [(True, "read-only"), (False, "")])
def test_a_field_that_takes_no_text_counts_where_text_is_typed(is_filled: bool, problem: str) -> None:
    """A list may be opened by such a field."""
    assert look('<input id="field" readonly>', is_filled=is_filled) == ("#field", problem)


RECIPE = """title = "Mine"
description = "A page of mine."
url = "http://127.0.0.1:1/"
consent = { ownership = "own" }
inputs.seed = { type = "integer" }
steps = [
  { type = "navigate", url = "{{url}}" },
  { type = "change", selectors = ["aria/Prompt"], value = "{{prompt}}" },
  { type = "customStep", name = "open", selectors = ["button.head"], reveals = ["#seed"], when = "seed" },
  { type = "change", selectors = ["#seed"], value = "{{seed}}", when = "seed" },
  { type = "customStep", name = "upload", selectors = ["#file"], document = "notes" },
  { type = "click", selectors = ["aria/Draw"], submits = true },
]
observe.done = { selectors = ["img"] }
documents.notes = { content = "{}" }
"""
PAGE = """<!doctype html><input aria-label="Prompt" oninput="draw.disabled = !this.value">
<button class="head" onclick="inside.hidden = !inside.hidden">Advanced</button>
<p id="inside" hidden><input id="seed"></p><input type="file" id="file" hidden>
<button id="draw" disabled>Draw</button>"""


@pytest.fixture
def page_url(tmp_path: Path) -> Iterator[str]:
    """Serve the files of a folder; yields the base URL."""
    (tmp_path / "mine.toml").write_text(RECIPE)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def test_check_opens_what_the_recipe_opens(tmp_path: Path, page_url: str) -> None:
    """A closed accordion, a hidden file input, and a button that waits for a prompt are as they should be."""
    (tmp_path / "index.html").write_text(PAGE)
    code, printed = run_sites_command(tmp_path, "check", "mine", "--url", page_url)

    assert code == 0, printed
    assert printed.count(" ok") == 5
    # The screenshot is not left in the current folder.
    assert (tmp_path / "data" / "checks" / "mine.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob("*.png"))


def test_check_names_what_covers_the_page(tmp_path: Path, page_url: str) -> None:
    """Every element that a person cannot reach is reported, and the exit code is 1."""
    (tmp_path / "index.html").write_text(PAGE + WINDOW)
    code, printed = run_sites_command(tmp_path, "check", "mine", "--url", page_url, "-o", "seen.png")

    assert code == 1
    assert printed.count('covered by div.mask.big "Get started with a template"') == 2
    assert "MISSING, tried: #seed" not in printed
    assert (tmp_path / "seen.png").exists()
