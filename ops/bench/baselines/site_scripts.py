"""Hand-written Playwright scripts that get the images out of one page: the baselines of the benchmark ``sites``."""

import base64
import json
import random
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from playwright.async_api import BrowserContext, FilePayload, Page

from ops.infra.settings import SHIPPED_RECIPES

READ_IMAGES_JS = """async (urls) => Promise.all(urls.map(async (url) => {
  const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}))"""
WORKFLOW = SHIPPED_RECIPES / "comfyui.workflow.json"
IMAGE_URLS_JS = "images => images.map((image) => image.src)"


async def _gradio(page: Page, prompt: str) -> list[str]:
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.get_by_role("button", name="Submit").click()
    await page.locator("button.thumbnail-item img").nth(1).wait_for()
    return await _image_urls(page, "button.thumbnail-item img")


async def _automatic1111(page: Page, prompt: str) -> list[str]:
    await page.fill("#txt2img_prompt textarea", prompt)
    await page.click("#txt2img_generate")
    await page.wait_for_selector("#txt2img_gallery .thumbnail-item img")
    return await _image_urls(page, "#txt2img_gallery .thumbnail-item img")


async def _fooocus(page: Page, prompt: str) -> list[str]:
    await page.fill("#positive_prompt textarea, #positive_prompt input", prompt)
    await page.click("#generate_button")
    await page.wait_for_selector("#final_gallery .thumbnail-item img")
    return await _image_urls(page, "#final_gallery .thumbnail-item img")


async def _weights(page: Page, prompt: str) -> list[str]:
    await page.fill("[contenteditable=true]", prompt)
    await page.click("#generate")
    await page.wait_for_selector("img[alt='Generated Image']")
    return await _image_urls(page, "img[alt='Generated Image']")


async def _comfyui(page: Page, prompt: str) -> list[str]:
    workflow = json.loads(WORKFLOW.read_text())
    workflow["6"]["inputs"]["text"] = prompt
    workflow["3"]["inputs"]["seed"] = random.randrange(2**32)
    file = FilePayload(name="workflow.json", mimeType="application/json", buffer=json.dumps(workflow).encode())
    await page.set_input_files("#comfy-file-input", file)
    await page.wait_for_function("document.querySelector('#graph').textContent.includes('nodes')")
    async with page.expect_event("console", lambda message: message.text.startswith("executed ")) as executed:
        await page.click("#queue-button")
    images = json.loads((await executed.value).text.removeprefix("executed "))
    return [f"{page.url}view?{urlencode(image)}" for image in images]


async def _image_urls(page: Page, selector: str) -> list[str]:
    urls: list[str] = await page.locator(selector).evaluate_all(IMAGE_URLS_JS)
    return urls


SCRIPTS: dict[str, Callable[[Page, str], Awaitable[list[str]]]] = {
    "gradio": _gradio,
    "automatic1111": _automatic1111,
    "fooocus": _fooocus,
    "weights": _weights,
    "comfyui": _comfyui,
}


async def fetch_images(context: BrowserContext, site: str, url: str, prompt: str) -> list[bytes]:
    """Generate the images of ``prompt`` on the page of ``site`` and return their bytes."""
    page = await context.new_page()
    await page.goto(f"{url}/{site}/", wait_until="domcontentloaded")
    urls = await SCRIPTS[site](page, prompt)
    return [base64.b64decode(text) for text in await page.evaluate(READ_IMAGES_JS, urls)]
