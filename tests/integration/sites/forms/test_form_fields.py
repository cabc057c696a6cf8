"""Values in form fields are read back, and what hides a field is opened only where needed."""

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import InputNotTaken, SiteChanged
from schemas.sites.observe import Selectors
from schemas.sites.recipe import Step
from tests.integration.sites.conftest import run_in_browser
from workers.sites.driver.forms.fields import is_same_value
from workers.sites.driver.forms.filled_fields import FilledFields
from workers.sites.driver.forms.opening import open_for
from workers.sites.driver.selectors import ElementFinder

NUMBER = '<input id="field" type="number" value="20">'
# Gradio's sliders correct the number when its field loses the focus.
CLAMPED = NUMBER + "<script>field.onblur = () => { field.value = Math.min(50, field.value); };</script>"
SHORTENED = """<textarea id="field"></textarea>
<script>field.oninput = () => { field.value = field.value.slice(0, 5); };</script>"""
UNCHECKED = """<input id="field" type="checkbox">
<script>field.onchange = () => requestAnimationFrame(() => { field.checked = false; });</script>"""
FORMATTED = """<input id="field">
<script>field.onblur = () => { field.value = Number(field.value).toLocaleString('en') + ' px'; };</script>"""
SWITCH = """<button id="field" role="switch" aria-checked="false">Tiles</button>
<script>field.onclick = () => { field.ariaChecked = String(field.ariaChecked !== "true"); };</script>"""
STUCK_SWITCH = '<button id="field" role="switch" aria-checked="false">Tiles</button>'
EDITABLE = '<div id="field" contenteditable="true"></div>'
RANGE = '<input id="field" type="range" min="0" max="10" step="0.5">'
# A page that is still loading puts its own value back, once.
LOADING = (
    NUMBER
    + "<script>field.onblur = () => { field.onblur = null; setTimeout(() => { field.value = 7; }, 20); };</script>"
)
SHOWN = "field.ariaChecked || field.innerText || (field.type === 'checkbox' ? field.checked : field.value)"
OTHER = '<input id="field" value="20"><input id="other"><script>other.onblur = () => { field.value = %s; };</script>'


def fill(content: str, *values: tuple[str, str]) -> str:
    """Set fields by their ids, check them as before a submission, and return the value of the first."""

    async def run(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.set_content(content)
        fields = FilledFields(page, ElementFinder())
        for name, value in values:
            await fields.set(Step("change", ((f"#{name}",),), "{{count}}", timeout_ms=3000), value)
        await fields.check()
        return str(await page.evaluate(SHOWN))

    return run_in_browser(run)


@pytest.mark.parametrize(
    ("content", "asked", "taken"),
    [
        (NUMBER, "33", "33"),
        (NUMBER, "7.0", "7.0"),
        (FORMATTED, "1024.0", "1,024 px"),
        (SWITCH, "True", "true"),
        (UNCHECKED, "false", "False"),
        (EDITABLE, "a lamp\nat night", "a lamp\nat night"),
        ('<input id="field">', "a lamp\nat night", "a lamp at night"),
        (RANGE, "7.5", "7.5"),
        (LOADING, "33", "33"),
    ],
)
def test_a_field_takes_its_value(content: str, asked: str, taken: str) -> None:
    """How the page writes it does not count, nor does one correction by a page that is still loading."""
    assert fill(content, ("field", asked)) == taken


@pytest.mark.parametrize(
    ("content", "asked", "taken"),
    [
        (CLAMPED, "80", "50"),
        (SHORTENED, "a long prompt", "a lon"),
        (UNCHECKED, "true", "false"),
        (STUCK_SWITCH, "true", "false"),
        (RANGE, "7.3", "7.5"),
        (NUMBER, "many", "20"),
    ],
)
def test_a_page_that_takes_another_value_is_an_error(content: str, asked: str, taken: str) -> None:
    """The error has the input, the value asked for and the one that the page shows."""
    with pytest.raises(InputNotTaken) as caught:
        fill(content, ("field", asked))

    assert caught.value.details == {"input": "count", "asked": asked, "taken": taken}


def test_a_value_that_another_field_changes_is_restored() -> None:
    """Fields are checked again before the prompt is submitted."""
    assert fill(OTHER % "7", ("field", "33"), ("other", "x")) == "33"


def test_a_value_that_cannot_be_restored_is_an_error() -> None:
    """The page insists on its own value as soon as both fields are set."""
    insists = OTHER % "7; field.oninput = () => requestAnimationFrame(() => { field.value = 7; })"

    with pytest.raises(InputNotTaken, match="took '7' for count, not '33'"):
        fill(insists, ("field", "33"), ("other", "x"))


@pytest.mark.parametrize(
    ("asked", "shown", "same"),
    [
        ("7", "7.00", True),
        ("1024", "1,024", True),
        ("1024", "1 024 px", True),
        ("50", "50%", True),
        ("7", "70", False),
        ("7", "7.5", False),
        ("1", "1,5", False),
        ("7", "7 of 20", False),
        ("a  lamp ", "a lamp", True),
        ("a lamp", "A lamp", False),
        ("dreamshaper_8.safetensors", "dreamshaper_8.safetensors [879db523c3]", True),
        ("Euler", "Euler a", False),
        ("inf", "infinity", False),
        ("", "", True),
        ("", "0", False),
    ],
)
def test_values_are_compared_by_what_they_mean(asked: str, shown: str, same: bool) -> None:
    """White space, the notation of a number and the hash of a checkpoint do not count."""
    assert is_same_value(asked, shown) is same


ACCORDION = """<button onclick="clicks++; inside.hidden = !inside.hidden">Advanced</button>
<p id="inside" {hidden}><input id="field"></p><script>var clicks = 0;</script>"""
TABS = """<nav><button>About</button><button>Make</button><button>Extras</button></nav><main></main><script>
var clicks = 0;
// The content of a tab is drawn only once it is opened.
document.querySelector("nav").onclick = ({ target }) => {
  clicks++;
  const content = target.innerText === "Make" ? '<input id="field">' : "";
  setTimeout(() => { document.querySelector("main").innerHTML = content; }, 50);
};
</script>"""
COLUMN = """<label><input type="checkbox" onclick="clicks++; column.hidden = !this.checked">Advanced</label>
<div id="column" hidden><input id="field"></div><script>var clicks = 0;</script>"""
# The page draws its accordion first, open, and what it holds a moment later.
LATE = """<script>var clicks = 0; setTimeout(() => {
  document.body.innerHTML = '<button onclick="clicks++">Advanced</button><p id="inside"></p>';
  requestAnimationFrame(() => { inside.innerHTML = '<input id="field">'; });
}, 300);</script>"""


def clicks_to_open(content: str, *openers: str) -> int:
    """Return how many clicks make the field of a page visible."""

    async def run(context: BrowserContext) -> int:
        page = await context.new_page()
        await page.set_content(content)
        selectors: Selectors = tuple((opener,) for opener in openers)
        await open_for(page, selectors, (("#field",),), 3000)
        assert await page.locator("#field").is_visible()
        return int(await page.evaluate("clicks"))

    return run_in_browser(run)


@pytest.mark.parametrize(
    ("content", "opener", "clicks"),
    [
        (ACCORDION.replace("{hidden}", "hidden"), "button", 1),
        (ACCORDION.replace("{hidden}", ""), "button", 0),
        (TABS, "aria/Make", 1),
        (TABS, "nav button", 2),
        (COLUMN, 'aria/Advanced[role="checkbox"]', 1),
        (LATE, "button", 0),
    ],
    ids=["accordion", "open accordion", "tab", "tabs in turn", "column", "page that is still drawing"],
)
def test_what_hides_a_field_is_opened_only_where_needed(content: str, opener: str, clicks: int) -> None:
    """A click more would close it again."""
    assert clicks_to_open(content, opener) == clicks


@pytest.mark.parametrize(
    ("opener", "message"), [("#nothing", "Nothing on the page matches"), ("nav", "After a click on")]
)
def test_a_field_that_stays_hidden_is_an_error(opener: str, message: str) -> None:
    """The error says what was tried."""
    with pytest.raises(SiteChanged, match=message):
        clicks_to_open(TABS.replace("clicks++", "return"), opener)
