"""Hand-written Playwright scripts that get the images out of one page: the baselines of the benchmark ``sites``."""

import asyncio
import base64
import json
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any
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
TIMEOUT_MS = 120_000
# Behind the envelope of Socket.IO, if there is one.
JSON_START = re.compile(r"[\[{][\s\S]*")
Messages = asyncio.Queue[Any]
IMAGE_URLS_JS = "images => images.map((image) => image.src)"


async def _gradio(page: Page, prompt: str) -> list[str]:
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.get_by_role("button", name="Generate").click()
    await page.locator("button.thumbnail-item img").nth(1).wait_for()
    return await _image_urls(page, "button.thumbnail-item img")


async def _automatic1111(page: Page, prompt: str) -> list[str]:
    await page.fill("#txt2img_prompt textarea", prompt)
    await page.click("#txt2img_generate")
    await page.wait_for_selector("#txt2img_gallery .thumbnail-item img")
    return await _image_urls(page, "#txt2img_gallery .thumbnail-item img:not([src*='/grid-'])")


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


async def _comfyui(page: Page, prompt: str, messages: Messages) -> list[str]:
    workflow = json.loads(WORKFLOW.read_text())
    workflow["6"]["inputs"]["text"] = prompt
    workflow["3"]["inputs"]["seed"] = random.randrange(2**32)
    file = FilePayload(name="workflow.json", mimeType="application/json", buffer=json.dumps(workflow).encode())
    await page.wait_for_selector(".workflow-tabs .workflow-label", state="attached", timeout=TIMEOUT_MS)
    # A workflow that is uploaded as soon as the tab appears is lost.
    await page.wait_for_timeout(1000)
    await page.keyboard.press("Escape")
    await page.set_input_files("#comfy-file-input", file)
    await page.wait_for_function("document.title.includes('workflow')", timeout=TIMEOUT_MS)
    await page.locator("[data-testid='queue-button']:visible, #queue-button:visible").first.click()
    urls: list[str] = []
    while True:
        message = await messages.get()
        if message["type"] == "executed":
            urls += [f"{page.url}view?{urlencode(image)}" for image in message["data"]["output"]["images"]]
        if message["type"] == "execution_success":
            return urls


async def _invokeai(page: Page, prompt: str, messages: Messages) -> list[str]:
    await page.fill("textarea.positive-prompt-textarea", prompt, timeout=TIMEOUT_MS)
    await page.get_by_role("button", name="Invoke", exact=True).click()
    urls: list[str] = []
    while True:
        message = await messages.get()
        # Packets of the protocol itself are objects.
        event, data = message[:2] if isinstance(message, list) else ("", {})
        if event == "invocation_complete" and data["result"]["type"] == "image_output":
            urls.append(f"{page.url}api/v1/images/i/{data['result']['image']['image_name']}/full")
        if event == "queue_item_status_changed" and data["status"] == "completed":
            return urls


def _listen(page: Page) -> Messages:
    """Return the queue of the JSON messages of all WebSockets that the page opens from now on."""
    messages: Messages = asyncio.Queue()

    def on_frame(payload: str | bytes) -> None:
        match = JSON_START.search(payload) if isinstance(payload, str) else None
        if match:
            messages.put_nowait(json.loads(match[0]))

    page.on("websocket", lambda socket: socket.on("framereceived", on_frame))
    return messages


async def _image_urls(page: Page, selector: str) -> list[str]:
    urls: list[str] = await page.locator(selector).evaluate_all(IMAGE_URLS_JS)
    return urls


SCRIPTS: dict[str, Callable[[Page, str], Awaitable[list[str]]]] = {
    "gradio": _gradio,
    "automatic1111": _automatic1111,
    "fooocus": _fooocus,
    "weights": _weights,
}
# Scripts for pages that tell their results by WebSocket.
SOCKET_SCRIPTS: dict[str, Callable[[Page, str, Messages], Awaitable[list[str]]]] = {
    "comfyui": _comfyui,
    "invokeai": _invokeai,
}


async def fetch_images(context: BrowserContext, site: str, url: str, prompt: str) -> list[bytes]:
    """Generate the images of ``prompt`` on the page of ``site`` and return their bytes.

    ``site`` may have a version behind its name, as in ``comfyui-1-27-10``.
    """
    name = site.partition("-")[0]
    page = await context.new_page()
    messages = _listen(page) if name in SOCKET_SCRIPTS else None
    await page.goto(url, wait_until="domcontentloaded")
    if messages:
        urls = await SOCKET_SCRIPTS[name](page, prompt, messages)
    else:
        urls = await SCRIPTS[name](page, prompt)
    return [base64.b64decode(text) for text in await page.evaluate(READ_IMAGES_JS, urls)]
