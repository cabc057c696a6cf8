"""Choice of options in lists and groups as several generations of Gradio build them."""

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import ChoiceNotFound
from tests.integration.sites.conftest import run_in_browser
from workers.sites.driver.forms.options import check_radio, choose_from_list

# Gradio 3: the list stands inside the label and has no roles; the chosen option has a check mark.
GRADIO_3_LIST = """<label><span>Sampler</span><input id="field" readonly><ul hidden></ul></label><script>
const list = document.querySelector("ul");
const show = () => {
  list.innerHTML = ["Euler", "Euler a", "DDIM"].map((name) =>
    `<li role="button" data-testid="dropdown-option" aria-label="${name}"><span>✓</span> ${name}</li>`).join("");
  list.hidden = false;
  for (const item of list.children) item.onmousedown = () => { field.value = item.ariaLabel; list.hidden = true; };
};
field.onfocus = show;
</script>"""
RADIOS = """<label><input type="radio" name="a" value="1">Square</label>
<label><input type="radio" name="b" value="2">Wide</label>"""


@pytest.mark.parametrize("name", ["Euler", "Euler a", "DDIM"])
def test_an_option_of_a_list_without_roles_is_chosen(name: str) -> None:
    """Its name alone identifies it, without the check mark."""

    async def choose(context: BrowserContext) -> str:
        page = await context.new_page()
        await page.set_content(GRADIO_3_LIST)
        await choose_from_list(await page.locator("#field").element_handle(), name, 5000)
        return await page.locator("#field").input_value()

    assert run_in_browser(choose) == name


@pytest.mark.parametrize("value", ["Wide", "2"])
def test_a_radio_button_is_chosen_by_its_label_or_value(value: str) -> None:
    """The group need not share a name."""

    async def choose(context: BrowserContext) -> list[bool]:
        page = await context.new_page()
        await page.set_content(RADIOS)
        await check_radio(await page.locator("input").element_handles(), value, 5000)
        return [await one.is_checked() for one in await page.locator("input").all()]

    assert run_in_browser(choose) == [False, True]


def test_a_radio_button_that_is_missing_is_an_error() -> None:
    """The error lists the labels."""

    async def choose(context: BrowserContext) -> None:
        page = await context.new_page()
        await page.set_content(RADIOS)
        await check_radio(await page.locator("input").element_handles(), "Tall", 5000)

    with pytest.raises(ChoiceNotFound, match=r"'Tall'.*Square, Wide"):
        run_in_browser(choose)
