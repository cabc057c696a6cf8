"""Choice of options in lists and groups as several generations of Gradio and other programs build them."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import BrowserContext, Page

from schemas.errors import ChoiceNotFound, InputNotTaken
from schemas.sites.recipe import Step
from tests.integration.sites.conftest import run_in_browser
from workers.sites.driver.forms.filled_fields import FilledFields
from workers.sites.driver.forms.options import read_all_option_names
from workers.sites.driver.selectors import ElementFinder

# Gradio 3: the list stands inside the label, whose text is the field's accessible name, and has no roles; the chosen
# option has a check mark.
GRADIO_3_LIST = """<label><span>Sampler</span><input id="field" readonly><ul hidden></ul></label><script>
const list = document.querySelector("ul");
field.onfocus = () => {
  list.innerHTML = ["Euler", "Euler a", "DDIM"].map((name) =>
    `<li role="button" data-testid="dropdown-option" aria-label="${name}"><span>✓</span> ${name}</li>`).join("");
  list.hidden = false;
  for (const item of list.children) item.onmousedown = () => { field.value = item.ariaLabel; };
};
field.onblur = () => { list.hidden = true; list.innerHTML = ""; };
</script>"""
# Gradio 4 and 5: the field names a list that does not exist; a list of another field stays open.
GRADIO_4_LISTS = """<div><ul role="listbox"><li role="option">Euler</li><li role="option">Euler a</li></ul></div>
<div class="block"><input id="field" role="listbox" aria-controls="dropdown-options" aria-label="Sampler" value="DDIM">
<ul role="listbox" hidden><li role="option">Euler</li><li role="option">Euler a</li><li role="option">DDIM</li></ul>
</div><script>
const list = document.querySelector(".block ul");
field.onfocus = () => setTimeout(() => { list.hidden = false; }, 100);
field.onblur = () => { list.hidden = true; };
for (const item of list.children) item.onmousedown = () => { field.value = item.textContent; };
</script>"""
# Gradio 6: a long list draws its options a few at a time, as it is scrolled, and is filtered at keys.
GRADIO_6_LIST = """<input id="field" aria-label="Sampler" role="combobox" aria-controls="options" {attributes}>
<ul id="options" role="listbox" hidden style="height: 100px; overflow: auto"></ul><script>
const list = document.querySelector("ul"), all = [...Array(60).keys()].map((number) => `Model ${number}`);
let drawn = 0;
const item = (name) => {
  const option = Object.assign(document.createElement("li"), { role: "option", textContent: name });
  option.onmousedown = () => { field.value = name; };
  return option;
};
const more = () => { list.append(...all.slice(drawn, drawn + 20).map(item)); drawn += 20; };
field.onfocus = () => { drawn = 0; list.replaceChildren(); list.hidden = false; more(); };
field.onblur = () => { list.hidden = true; };
field.onkeyup = () => list.replaceChildren(...all.filter((name) => name.includes(field.value)).slice(0, 20).map(item));
list.onscroll = () => { if (list.scrollTop + list.clientHeight > list.scrollHeight - 5) setTimeout(more, 50); };
</script>"""
# The chosen names stand beside an empty text field.
TOKENS = """<div><span id="tokens"></span><input id="field" aria-label="Styles"></div>
<ul role="listbox" aria-multiselectable="{multiple}" hidden></ul><script>
const list = document.querySelector("ul");
let chosen = ["Oil"];
const draw = () => {
  tokens.innerHTML = chosen.map((name) => `<b>${name}</b><br>`).join("");
  list.replaceChildren(...["Oil", "Ink", "Chalk, white"].map((name) => {
    const option = Object.assign(document.createElement("li"), { role: "option", textContent: name });
    option.ariaSelected = String(chosen.includes(name));
    option.onmousedown = (event) => {
      event.preventDefault();
      if (!%s) chosen = [name];
      else chosen = chosen.includes(name) ? chosen.filter((other) => other !== name) : [...chosen, name];
      draw();
    };
    return option;
  }));
};
draw();
field.onfocus = () => { list.hidden = false; };
field.onblur = () => { list.hidden = true; };
</script>"""
ONE_STYLE, SEVERAL_STYLES = (
    TOKENS.replace("{multiple}", "false") % "false",
    TOKENS.replace("{multiple}", "true") % "true",
)
# A button with the chosen name opens a list at the end of the page.
POPUP = """<button id="field" aria-label="Sampler" role="combobox">Euler</button><p>text</p><script>
field.onclick = () => {
  const list = Object.assign(document.createElement("div"), { role: "listbox" });
  for (const name of ["Euler", "DDIM"]) {
    const option = Object.assign(document.createElement("div"), { role: "option", textContent: name });
    option.onclick = () => { field.textContent = name; list.remove(); };
    list.append(option);
  }
  document.body.append(list);
};
</script>"""
SELECT = """<select id="field" aria-label="Sampler"><option value="1">Euler</option><option>DDIM</option></select>"""
RADIOS = """<fieldset id="field"><label><input type="radio" name="a" value="1">Square</label>
<label><input type="radio" name="b" value="2">Wide</label></fieldset>"""
ARIA_RADIOS = """<div id="field" role="radiogroup"><span role="radio" aria-checked="true">Square</span>
<span role="radio" aria-checked="false">Wide</span></div><script>
const radios = [...document.querySelectorAll("[role=radio]")];
for (const radio of radios) radio.onclick = () => radios.forEach((one) => { one.ariaChecked = String(one === radio); });
</script>"""
BOXES = """<fieldset id="field"><label><input type="checkbox" checked>Hires</label>
<label><input type="checkbox">Faces</label><label><input type="checkbox">Tiles</label></fieldset>"""
TAKES_ANOTHER = GRADIO_3_LIST.replace("field.value = item.ariaLabel", 'field.value = "Euler"')


def on_page(content: str, work: Callable[[Page], Awaitable[str]]) -> str:
    """Return what ``work`` returns for a page with this content."""

    async def run(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.set_content(content)
        return await work(page)

    return run_in_browser(run)


def choose(content: str, value: str, result: str, selector: str = "#field") -> str:
    """Choose a value and return what a script of the page then says."""

    async def work(page: Page) -> str:
        step = Step("customStep", name="choose", selectors=((selector,),), value="{{choice}}", timeout_ms=3000)
        fields = FilledFields(page, ElementFinder())
        await fields.set(step, value)
        await fields.check()
        return str(await page.evaluate(result))

    return on_page(content, work)


@pytest.mark.parametrize(
    ("content", "selector", "value"),
    [
        (GRADIO_3_LIST, "aria/Sampler", "Euler a"),
        (GRADIO_3_LIST, "#field", "Euler"),
        (GRADIO_4_LISTS, "aria/Sampler", "Euler a"),
        (GRADIO_6_LIST.replace("{attributes}", ""), "aria/Sampler", "Model 57"),
        (GRADIO_6_LIST.replace("{attributes}", "readonly"), "aria/Sampler", "Model 57"),
        (POPUP, "aria/Sampler", "DDIM"),
        (SELECT, "aria/Sampler", "DDIM"),
    ],
    ids=["gradio 3", "gradio 3 by id", "gradio 4", "gradio 6", "gradio 6 without filter", "popup", "select"],
)
def test_an_option_of_a_list_is_chosen(content: str, selector: str, value: str) -> None:
    """Its name alone identifies it, whatever else the page shows while the list is open."""
    shown = "field.selectedOptions ? field.selectedOptions[0].label : field.value || field.textContent"

    assert choose(content, value, shown, selector) == value


@pytest.mark.parametrize(
    ("content", "value", "chosen"),
    [
        (SEVERAL_STYLES, "Ink", "Ink"),
        (SEVERAL_STYLES, "Oil, Ink", "Oil|Ink"),
        (SEVERAL_STYLES, "Chalk, white", "Chalk, white"),
        (ONE_STYLE, "Ink", "Ink"),
    ],
)
def test_a_list_of_several_choices_gets_exactly_those_asked_for(content: str, value: str, chosen: str) -> None:
    """What the page had chosen itself is removed; a name may contain a comma."""
    assert (
        choose(content, value, "[...document.querySelectorAll('b')].map((one) => one.textContent).join('|')") == chosen
    )


@pytest.mark.parametrize(
    ("content", "value", "checked"),
    [
        (RADIOS, "Wide", "false,true"),
        (RADIOS, "2", "false,true"),
        (ARIA_RADIOS, "Wide", "false,true"),
        (BOXES, "Faces, Tiles", "false,true,true"),
        (BOXES, "Hires", "true,false,false"),
    ],
)
def test_buttons_of_a_group_are_chosen_by_their_labels(content: str, value: str, checked: str) -> None:
    """This holds for radio buttons, which need not share a name, for checkboxes, and for ARIA's roles."""
    state = "(one) => ('checked' in one ? one.checked : one.ariaChecked === 'true')"
    result = f"[...field.querySelectorAll('input, [role=radio]')].map({state}).join(',')"

    assert choose(content, value, result) == checked
    assert choose(content, value, result, "input, [role=radio]") == checked


@pytest.mark.parametrize(
    ("content", "value", "message"),
    [
        (RADIOS, "Tall", r"'Tall'.*Square, Wide"),
        (BOXES, "Faces, Hands", r"'Faces, Hands'.*Hires, Faces, Tiles"),
        (GRADIO_3_LIST, "DPM", r"'DPM'.*Euler, Euler a, DDIM"),
        (SELECT, "DPM", r"'DPM'.*Euler, DDIM"),
    ],
)
def test_a_choice_that_is_not_offered_is_an_error(content: str, value: str, message: str) -> None:
    """The error lists what the page offers."""
    with pytest.raises(ChoiceNotFound, match=message):
        choose(content, value, "0")


def test_a_list_that_takes_another_option_is_an_error() -> None:
    """The error has the value asked for and the one that the page took."""
    with pytest.raises(InputNotTaken, match=r"took 'Euler' for choice, not 'DDIM'") as caught:
        choose(TAKES_ANOTHER, "DDIM", "0")

    assert caught.value.details == {"input": "choice", "asked": "DDIM", "taken": "Euler"}


def test_all_options_of_a_scrolled_list_are_read() -> None:
    """A list that draws a few options at a time is scrolled to its end."""

    async def read(page: Page) -> str:
        await page.click("#field")
        return ",".join(await read_all_option_names(page.locator("[role=option]")))

    names = ",".join(f"Model {number}" for number in range(60))
    assert on_page(GRADIO_6_LIST.replace("{attributes}", ""), read) == names
