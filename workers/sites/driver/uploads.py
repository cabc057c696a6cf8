"""Hands pictures to a page: into a file input, through a file chooser, or by the page's own upload route."""

import base64
from typing import Any

from playwright.async_api import FilePayload, Locator, Page

from schemas.errors import SiteChanged, SiteUnavailable
from schemas.images.input_images import InputFile
from schemas.sites.documents import MISSING, get_path

IS_FILE_INPUT_SCRIPT = "element => element instanceof HTMLInputElement && element.type === 'file'"
# Large messages to the page are sent in parts of this size.
CHUNK_BYTES = 4 * 1024 * 1024
# Posted by the page and not by the worker: with its cookies, through its proxy, under the rules for its requests.
POST_SCRIPT = """async ([chunks, { url, field, name, type, timeoutMs }]) => {
  const parts = chunks.map((text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
  const body = new FormData();
  body.append(field, new File(parts, name, { type }), name);
  try {
    const response = await fetch(url, { method: "POST", body, signal: AbortSignal.timeout(timeoutMs) });
    return { status: response.status, text: (await response.text()).slice(0, 100000) };
  } catch (error) {
    return { status: 0, text: String(error).slice(0, 300) };
  }
}"""
PARSE_SCRIPT = "text => { try { return JSON.parse(text); } catch { return null; } }"


async def fill_file_input(page: Page, element: Locator, file: InputFile, timeout_ms: int) -> None:
    """Choose ``file`` in a file input, or in the file chooser that another element opens when it is clicked."""
    payload: FilePayload = {"name": file.name, "mimeType": file.media_type, "buffer": file.data}
    if await element.evaluate(IS_FILE_INPUT_SCRIPT):
        await element.set_input_files(payload, timeout=timeout_ms)
        return
    async with page.expect_file_chooser(timeout=timeout_ms) as chooser:
        await element.click(timeout=timeout_ms)
    await (await chooser.value).set_files(payload, timeout=timeout_ms)


async def post_file(page: Page, file: InputFile, url: str, *, field: str, answer: str, timeout_ms: int) -> str:
    """Post ``file`` as a form to ``url`` from the page, and return the value at the path ``answer`` of the response.

    Raises:
        SiteUnavailable: there is no response, or one with a status from 500.
        SiteChanged: the route refuses the form, or its response has no such value.
    """
    chunks = [
        base64.b64encode(file.data[start : start + CHUNK_BYTES]).decode()
        for start in range(0, len(file.data), CHUNK_BYTES)
    ]
    options = {"url": url, "field": field, "name": file.name, "type": file.media_type, "timeoutMs": timeout_ms}
    response: dict[str, Any] = await page.evaluate(POST_SCRIPT, [chunks, options])
    status = int(response["status"])
    if status == 0 or status >= 500:
        reason = f"status {status}" if status else response["text"]
        raise SiteUnavailable(f"The picture cannot be uploaded to {url}: {reason}.")
    value = get_path(await page.evaluate(PARSE_SCRIPT, response["text"]), answer)
    if status >= 400 or value is MISSING or not isinstance(value, str):
        raise SiteChanged(f"{url} answers an upload with status {status} and without {answer!r}.")
    return value
