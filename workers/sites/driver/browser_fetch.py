"""The fetching of an address by a page's own browser: with its cookies, by its way out, and only so much."""

import base64
import contextlib

from playwright.async_api import CDPSession, Error, Page

from workers.images.convert import MAX_IMAGE_BYTES

CHUNK_BYTES = 1024 * 1024


async def fetch_url(page: Page, url: str) -> bytes | None:
    """The body at ``url``; None if the browser may not or cannot have it, or if it is too large."""
    session = await page.context.new_cdp_session(page)
    try:
        frame = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        options = {"disableCache": False, "includeCredentials": True}
        asked = {"frameId": frame, "url": url, "options": options}
        answer = (await session.send("Network.loadNetworkResource", asked))["resource"]
        if not answer["success"] or not 200 <= answer.get("httpStatusCode", 0) < 300:
            return None
        return await _read(session, answer["stream"])
    finally:
        with contextlib.suppress(Error):
            await session.detach()


async def _read(session: CDPSession, stream: str) -> bytes | None:
    body = bytearray()
    while len(body) <= MAX_IMAGE_BYTES:
        part = await session.send("IO.read", {"handle": stream, "size": CHUNK_BYTES})
        body += base64.b64decode(part["data"]) if part.get("base64Encoded") else part["data"].encode()
        if part["eof"]:
            return bytes(body)
    return None
