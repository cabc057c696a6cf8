"""Fetches a URL through the page's browser: with its cookies and through its proxy, up to a maximum size."""

import base64
import contextlib

from playwright.async_api import CDPSession, Error, Page

from workers.images.convert import MAX_IMAGE_BYTES, too_large_error

CHUNK_BYTES = 1024 * 1024


async def fetch_url(page: Page, url: str) -> bytes | None:
    """Return the body at ``url``; None if the request fails.

    Raises:
        ResultRefused: the body is larger than ``MAX_IMAGE_BYTES``.
    """
    session = await page.context.new_cdp_session(page)
    try:
        frame_id = (await session.send("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        options = {"disableCache": False, "includeCredentials": True}
        request = {"frameId": frame_id, "url": url, "options": options}
        resource = (await session.send("Network.loadNetworkResource", request))["resource"]
        if not resource["success"] or not 200 <= resource.get("httpStatusCode", 0) < 300:
            return None
        return await _read_stream(session, resource["stream"])
    finally:
        with contextlib.suppress(Error):
            await session.detach()


async def _read_stream(session: CDPSession, handle: str) -> bytes:
    body = bytearray()
    while len(body) <= MAX_IMAGE_BYTES:
        chunk = await session.send("IO.read", {"handle": handle, "size": CHUNK_BYTES})
        body += base64.b64decode(chunk["data"]) if chunk.get("base64Encoded") else chunk["data"].encode()
        if chunk["eof"]:
            return bytes(body)
    raise too_large_error(len(body))
