"""Every page of the console by keyboard alone and at 200 % zoom."""

from playwright.async_api import Page

from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.support.console_browser import HOSTILE, visit

OWNER_HEADERS = {"x-api-key": API_KEY}
# A window of 1280 x 900 whose page is zoomed by two.
ZOOMED = {"width": 640, "height": 450}
# Numbers the elements that the keyboard must reach; of a group of radio buttons only the chosen one can be reached.
NUMBER_CONTROLS = """() => {
  const selector = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const isShown = (each) => each.checkVisibility({ visibilityProperty: true }) && each.getClientRects().length > 0;
  const isUnchosen = (each) => each.type === "radio" && !each.checked;
  const isReachable = (each) => isShown(each) && !each.disabled && each.tabIndex >= 0 && !isUnchosen(each);
  const found = [...document.querySelectorAll(selector)].filter(isReachable);
  found.forEach((each, number) => { each.dataset.number = number; });
  return found.length;
}"""
# The number of the focused element, its description if no outline shows the focus, and whether something covers it.
FOCUSED = """() => {
  const element = document.activeElement;
  if (element === document.body) return null;
  const ring = getComputedStyle(element.closest(".drop") ?? element);
  const box = element.getBoundingClientRect();
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  const top = document.elementFromPoint(x, y);
  const isSeen = !top || element.contains(top) || top.contains(element) || Boolean(element.labels?.length);
  const isMarked = ring.outlineStyle !== "none" && parseFloat(ring.outlineWidth) >= 1;
  return [Number(element.dataset.number ?? -1), isMarked && isSeen ? "" : element.outerHTML.slice(0, 200)];
}"""


async def reach_everything(page: Page) -> None:
    """Press Tab until the focus leaves the page; fail for controls that it misses, hides or does not mark."""
    count = await page.evaluate(NUMBER_CONTROLS)
    assert count > 0
    reached, faults = set(), []
    for _ in range(count + 20):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        if focused is None:
            break
        number, fault = focused
        reached.add(number)
        faults += [fault] if fault else []
    assert not faults, (page.url, faults)
    missing = set(range(count)) - reached
    described = [await page.locator(f"[data-number='{each}']").evaluate("each => each.outerHTML") for each in missing]
    assert not missing, (page.url, described)


def test_every_page_works_by_keyboard_and_zoomed(app: AppClient, app_url: str) -> None:
    """Tab reaches every control and shows where it is; at 200 % nothing is wider than the window or covered."""
    job_id = app.submit(HOSTILE)
    key_id = app.stores.api_keys.create("reader").split("_")[1]
    hook = app.stores.subscriptions.create("owner", "https://hooks.example/", {"description": HOSTILE[:200]})
    owner = app.client.get("/api/v1/gallery/profile", headers=OWNER_HEADERS)
    assert owner.status_code == 200
    created = app.client.post("/api/v1/gallery/collections", json={"name": "Lakes"}, headers=OWNER_HEADERS)
    assert created.status_code == 201, created.text
    sections = ("make", "jobs", "models", "models/state", "gallery", "sites", "webhooks", "keys", "system")
    details = (f"jobs/{job_id}", "gallery/lakes", "sites/gradio", f"webhooks/{hook.id}", f"keys/{key_id}")

    async def work(page: Page) -> None:
        await page.set_viewport_size(ZOOMED)
        for path in (*sections, *details, "sites/edit/studio"):
            answer = await page.goto(f"{app_url}/console/{path}")
            assert answer
            assert answer.ok, path
            await reach_everything(page)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= ZOOMED["width"], f"{path} is {width} px wide"

    visit(app_url, work)
