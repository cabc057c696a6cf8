"""The Make section, in a real browser."""

import asyncio
import base64
import os
import signal
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Locator, Page, expect

from tests.conftest import answers_http, eventually
from tests.integration.console.conftest import Console
from tests.support.images import draw_image, encode

HOSTILE = "<img src=x onerror=alert(1)> \"'</script><script>alert(2)</script> {{7*7}} \u202eevil"
SIZES = {"phone": (360, 740), "desktop": (1440, 900)}
LAYOUT_SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
  }).observe({ type: "layout-shift", buffered: false });
}"""
# The boxes of the frame while it has shown a preview.
RECORD_PREVIEWS = """() => {
  const frame = document.getElementById("frame");
  window.boxes = [];
  new MutationObserver(() => {
    if (frame.querySelector("img.is-preview")) window.boxes.push(JSON.stringify(frame.getBoundingClientRect()));
  }).observe(frame, { childList: true });
}"""
FOCUSED = """() => {
  const element = document.activeElement;
  const ring = getComputedStyle(element.type === "file" ? element.closest(".drop") : element);
  const isPage = element === document.body;
  const name = isPage ? "BODY" : element.id || element.dataset.tool || element.className || element.tagName;
  return [name, ring.outlineStyle, parseFloat(ring.outlineWidth)];
}"""
MOVES = """() => [...document.querySelectorAll("*")].some((each) => {
  const style = getComputedStyle(each);
  return parseFloat(style.animationDuration) > 0 || parseFloat(style.transitionDuration) > 0;
})"""
# A running job, then more jobs than the page remembers; then five events of a job that it does not know.
REMEMBER_MANY = """async () => {
  const load = (name) => import(document.querySelector(`link[href$="/${name}.js"]`).href);
  const [jobs, { live }] = [await load("make/jobs"), await load("live")];
  const rest = { seq: 1, prompt: "", inputs: {}, results: [] };
  const job = (number, status) => ({ ...rest, id: `job-${number}`, status, startTime: number });
  jobs.putJob(job(0, "PENDING"));
  for (let number = 1; number < 300; number += 1) jobs.putJob(job(number, "FAILED"));
  const jobId = "0".repeat(32);
  for (let seq = 1; seq <= 5; seq += 1) {
    live.dispatchEvent(new CustomEvent("*", { detail: { type: "preview", jobId, seq } }));
  }
  await jobs.fetchJob(jobId).catch(() => {});
  const requests = performance.getEntriesByName(`${location.origin}/api/v1/jobs/${jobId}`);
  return [Boolean(jobs.getJob("job-0")), jobs.listJobs().length, requests.length];
}"""
PASTE = """([selector, type, encoded]) => {
  const file = new File([Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0))], "picture.png", { type: "image/png" });
  const transfer = new DataTransfer();
  transfer.items.add(file);
  const target = document.querySelector(selector);
  const event = type === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
  target.dispatchEvent(event);
}"""


def jobs(console: Console, key: str | None = None) -> list[dict[str, Any]]:
    """The jobs of the owner, or of another key, the newest first."""
    with console.stack.client(*([key] if key else [])) as client:
        found: list[dict[str, Any]] = client.get("/api/v1/jobs", params={"limit": 100}).json()["jobs"]
        return found


async def submit(page: Page, prompt: str, **inputs: int) -> None:
    """Fill the form and press the keys that send it."""
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    for name, value in inputs.items():
        await page.locator(f"#input-{name}").fill(str(value))
    await page.keyboard.press("Control+Enter")


def test_a_picture_is_made_watched_and_made_again(console: Console) -> None:
    """Previews and the result appear in a frame that does not move; another seed and cancelling work."""

    async def work(page: Page) -> None:
        await page.evaluate(LAYOUT_SHIFTS)
        await page.evaluate(RECORD_PREVIEWS)
        box = await page.locator("#frame").bounding_box()
        await submit(page, "a lighthouse at dusk, oil painting", steps=40, seed=7)
        result = page.locator("#frame img.is-result")
        await expect(result).to_be_visible(timeout=60_000)
        await expect(page.locator("#state")).to_have_text("Finished")
        assert await page.locator("#frame").bounding_box() == box
        assert await page.evaluate("new Set(window.boxes).size") == 1
        assert await page.evaluate("window.shifts.reduce((sum, value) => sum + value, 0)") < 0.01

        link = page.get_by_role("link", name="Download")
        answer = await page.request.get(f"{console.url}{await link.get_attribute('href')}")
        assert answer.headers["content-type"] == "image/png"
        address = page.url
        await page.get_by_role("button", name="Another seed").click()
        await page.wait_for_url(lambda url: url != address)
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await expect(page.locator("#state")).to_have_text("Cancelled")
        await page.go_back()
        assert page.url == address
        await expect(page.locator("#state")).to_have_text("Finished")
        await page.reload()
        await expect(page.locator("#frame img.is-result")).to_be_visible()

        await page.get_by_role("button", name="Change and run").click()
        await expect(page.locator("#input-seed")).to_have_value("7")
        await page.get_by_role("button", name="Zoom").click()
        await page.keyboard.press("1")
        await expect(page.locator("#zoom output")).to_have_text("100 %")
        await page.keyboard.press("Escape")

    console.run(work)
    newest, oldest = jobs(console)
    assert (newest["error"]["code"], oldest["status"]) == ("cancelled", "COMPLETED")
    assert newest["prompt"] == oldest["prompt"]
    assert newest["inputs"]["seed"] != oldest["inputs"]["seed"] == 7


def test_many_jobs_come_from_one_form(console: Console) -> None:
    """A table has a job in each cell, under the values of its row and column; prompts and seeds are lists."""

    async def work(page: Page) -> None:
        await page.get_by_label("Prompt", exact=True).fill("a village in the snow")
        for name in ("width", "height"):
            await page.locator(f"#input-{name}").fill("256")
        await page.locator("#many summary").click()
        await page.get_by_label("Vary").select_option("table")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#notices")).to_contain_text("Give the values")
        await page.locator("#many-x-values").fill("2, 3")
        await page.locator("#many-y-values").fill("5-6")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#table td a")).to_have_count(4)
        assert await page.locator("#table th").all_text_contents() == ["seed by steps", "2", "3", "5", "6"]
        await page.reload()
        await expect(page.locator("#table td img")).to_have_count(4)

        await page.locator("#many summary").click()
        await page.get_by_label("Vary").select_option("prompts")
        await page.locator("#many-prompts").fill("a red fox\n\na grey owl\n")
        await page.locator("#input-steps").fill("2")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#submit-help")).to_have_text("2 jobs submitted.")
        assert await page.evaluate(REMEMBER_MANY) == [True, 200, 1]

    before = len(jobs(console))
    console.run(work)
    made = jobs(console)[: len(jobs(console)) - before]
    cells = {
        (job["inputs"]["steps"], job["inputs"]["seed"]) for job in made if job["prompt"] == "a village in the snow"
    }
    assert cells == {(2, 5), (3, 5), (2, 6), (3, 6)}
    assert ["a grey owl", "a red fox"] == sorted(job["prompt"] for job in made)[:2]


def test_hostile_text_is_shown_as_text(console: Console) -> None:
    """In the prompt, its caption, the latest pictures, the recent prompts and the address."""

    async def work(page: Page) -> None:
        await submit(page, HOSTILE, steps=2, width=256, height=256)
        await expect(page.locator("#caption")).to_have_text(HOSTILE.strip())
        await page.goto(f"{console.url}/console/make")
        await expect(page.locator("#recent li").first).to_have_text(HOSTILE, use_inner_text=False)
        query = "prompt=%3C/textarea%3E%3Cscript%3Ealert(3)%3C/script%3E&job=%3Cb%3E"
        await page.goto(f"{console.url}/console/make?{query}")
        await expect(page.get_by_label("Prompt", exact=True)).to_have_value("</textarea><script>alert(3)</script>")
        await expect(page.get_by_text("You have no such picture.")).to_be_visible()
        assert await page.locator("img[src='x'], b, script:not([src]):not([type='application/json'])").count() == 0

    console.run(work)


def test_problems_of_a_field_are_shown_at_the_field(console: Console) -> None:
    """Those that the browser finds and those that the server finds; the field gets the focus.

    A server that is not available is asked for a minute; then its reason is shown.
    """

    async def work(page: Page) -> None:
        await page.keyboard.press("Control+Enter")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#prompt")).to_be_focused()
        await expect(page.locator("#prompt")).to_have_attribute("aria-invalid", "true")
        await page.locator("#prompt").fill("a fox")
        await page.locator("#input-width").fill("257")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("[data-field='width'] .error")).to_be_visible()
        await page.evaluate("document.querySelector('#input-width').removeAttribute('step')")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("[data-field='width'] .error")).to_contain_text("8")
        await expect(page.locator("#input-width")).to_be_focused()

        await page.clock.install()
        await page.goto(f"{console.url}/console/make?prompt=a+fox")
        down = {"error": {"code": "unavailable", "message": "The queue is down."}}
        await page.route("**/api/v1/jobs", lambda route: route.fulfill(status=503, json=down))
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#submit-help")).to_have_text("Waiting for Darkroom…")
        await page.clock.fast_forward("01:01")
        await expect(page.locator("#notices")).to_contain_text("The queue is down.")
        await expect(page.locator("#submit-help")).to_be_empty()

    before = len(jobs(console))
    console.run(work)
    assert len(jobs(console)) == before


def test_a_revoked_key_signs_its_browsers_out(console: Console) -> None:
    """Another process revokes it; the page that was open shows the sign-in by itself."""
    keys = console.stack.stores.api_keys
    key = keys.create("visitor")

    async def work(page: Page) -> None:
        await page.goto(f"{console.url}/console/sign-in")
        await page.get_by_role("button", name="Sign out").click()
        await console.sign_in(page, key)
        keys.revoke(key.split("_")[1])
        await page.wait_for_url("**/console/sign-in**")
        await expect(page.get_by_label("API key")).to_be_visible()

    console.run(work)


@pytest.mark.parametrize(("size", "scheme"), [("phone", "light"), ("desktop", "dark")])
def test_axe_finds_nothing(console: Console, size: str, scheme: str) -> None:
    """On the sign-in page and in the section, with its dialogs open; nothing is wider than the window."""
    width, height = SIZES[size]

    async def check(page: Page, state: str) -> None:
        results = await Axe().run(page)
        assert results.violations_count == 0, f"{state}: {results.generate_report()}"
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), state

    async def work(page: Page) -> None:
        await check(page, "section")
        await page.locator("#many summary").click()
        await page.get_by_label("Vary").select_option("table")
        await check(page, "table")
        await page.locator("#choose-lora").click()
        await expect(page.locator("#lora-grid li img").nth(10)).to_be_visible(timeout=60_000)
        await page.locator("#lora-query").fill("oil")
        await expect(page.locator("#lora-grid li")).to_have_count(1)
        await expect(page.locator("#lora-grid li img").first).to_be_visible(timeout=60_000)
        await check(page, "styles")
        await page.locator("#loras [data-close]").click()
        await page.get_by_role("button", name="Recent").click()
        await check(page, "recent prompts")
        await page.get_by_role("button", name="Sign out").click()
        await check(page, "sign-in")

    console.run(work, viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")


def test_everything_can_be_done_by_keyboard(console: Console) -> None:
    """Tab reaches every control, and each shows its focus; with reduced motion nothing moves."""

    async def work(page: Page) -> None:
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip-link")).to_be_focused()
        await page.keyboard.press("Enter")
        reached = set()
        for _ in range(60):
            await page.keyboard.press("Tab")
            focused = await page.evaluate(FOCUSED)
            if focused[0] == "BODY":
                break
            assert focused[1] != "none", focused
            assert focused[2] >= 2, focused
            reached.add(focused[0])
        assert {"prompt", "site", "recent-button", "choose-lora", "input-seed", "input-steps", "submit"} <= reached
        await page.locator("#choose-lora").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#lora-query")).to_be_focused()
        await page.keyboard.press("Escape")
        await expect(page.locator("#choose-lora")).to_be_focused()
        assert not await page.evaluate(MOVES)

    console.run(work, reduced_motion="reduce")


def test_pictures_come_by_drop_paste_and_file(console: Console) -> None:
    """Each way fills the input, shows the picture, and sends it with the job.

    Another job takes the picture from the first one while it is kept; who clicks twice gets one job.
    """
    picture = encode(draw_image(), "PNG")

    async def work(page: Page) -> None:
        await page.goto(f"{console.url}/console/make?site=automatic1111_img2img")
        control, drop = page.locator("#input-init"), page.locator("[data-drop='init']")
        encoded = base64.b64encode(picture).decode()
        for selector, kind in (("[data-drop='init']", "drop"), ("#prompt", "paste")):
            await page.evaluate(PASTE, [selector, kind, encoded])
            await expect(drop.locator("img")).to_be_visible()
            await drop.locator("[data-clear]").click()
            await expect(drop.locator("img")).to_be_hidden()
        await page.get_by_label("Prompt", exact=True).fill("a fox, as a woodcut")
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("[data-field='init'] .error")).to_have_text("A picture is needed here.")
        await control.set_input_files({"name": "<b>.png", "mimeType": "image/png", "buffer": picture})
        await page.get_by_role("button", name="Make").click()
        await expect(page.locator("#caption")).to_have_text("a fox, as a woodcut")
        await cancel(page)
        address = page.url
        await page.get_by_role("button", name="Another seed").dblclick()
        await page.wait_for_url(lambda url: url != address)
        await cancel(page)
        await require_kept_pictures(page, drop)

    async def require_kept_pictures(page: Page, drop: Locator) -> None:
        job = jobs(console)[0]
        await page.goto(f"{console.url}/console/make?from={job['id']}")
        assert await drop.locator("img").evaluate("async (image) => { await image.decode(); return image.alt; }")
        await page.get_by_label("Prompt", exact=True).fill("the same fox, in ink")
        await page.get_by_role("button", name="Make").dblclick()
        await expect(page.locator("#caption")).to_have_text("the same fox, in ink")
        await cancel(page)
        console.stack.stores.input_images.discard(jobs(console)[0]["id"], jobs(console)[0]["inputs"])
        await page.get_by_role("button", name="Change and run").click()
        await expect(page.locator("[data-field='init'] .error")).to_contain_text("no longer kept")
        await expect(drop.locator("img")).to_be_hidden()

    async def cancel(page: Page) -> None:
        with console.stack.client() as client:
            client.post("/api/v1/jobs/cancel")
        await expect(page.locator("#state")).to_have_text("Cancelled")

    before = len(jobs(console))
    console.run(work)
    changed, again, first = jobs(console)[: len(jobs(console)) - before]
    assert changed["inputs"]["init"] == again["inputs"]["init"] == first["inputs"]["init"]
    assert first["inputs"]["init"]["width"] == 64
    assert again["inputs"]["seed"] != first["inputs"].get("seed")


def test_the_page_continues_when_the_server_is_back(console: Console) -> None:
    """A bar says that it is gone. A job that ends meanwhile is shown, and one that was sent meanwhile is made once."""
    supervisor = console.stack.supervisor

    async def work(page: Page) -> None:
        await submit(page, "a castle above the sea", steps=60, width=256, height=256)
        await expect(page.locator("#state")).to_have_text("In progress")
        os.kill(supervisor.pid("web"), signal.SIGKILL)
        await expect(page.locator("#connection")).to_be_visible()
        await submit(page, "sent while the server was gone", steps=2)
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("#submit-help")).to_have_text("Waiting for Darkroom…")
        running = newest_job()
        await asyncio.to_thread(eventually, lambda: console.stack.stores.jobs.get(running).state.is_final)
        await asyncio.to_thread(eventually, lambda: supervisor.restart_dead() or answers_http(console.url))
        await expect(page.locator("#connection")).to_be_hidden(timeout=30_000)
        await expect(page.locator("#caption")).to_have_text("sent while the server was gone")
        await expect(page.locator("#state")).to_have_text("Finished")
        await expect(page.locator(f"#reel a[data-job='{running}'] img")).to_be_visible()

    def newest_job() -> str:
        page, _ = console.stack.stores.jobs.list_page("owner", None, 1)
        return page[0][0].id

    console.run(work)
    assert [job["prompt"] for job in jobs(console)].count("sent while the server was gone") == 1
