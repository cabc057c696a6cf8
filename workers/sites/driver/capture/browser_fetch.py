"""Fetches a URL through the page's browser: with its cookies and through its proxy, up to a maximum size."""

import base64
import contextlib
from collections.abc import Mapping

from playwright.async_api import CDPSession, Error, Page

from workers.images.convert import MAX_IMAGE_BYTES, too_large_error

CHUNK_BYTES = 1024 * 1024
MAX_LENGTH_DIGITS = 20


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
        # A body that is too large would keep the connection to the browser busy for nothing.
        if (size := _announced_bytes(resource.get("headers", {}))) > MAX_IMAGE_BYTES:
            raise too_large_error(size)
        return await _read_stream(session, resource["stream"])
    finally:
        with contextlib.suppress(Error):
            await session.detach()


def _announced_bytes(headers: Mapping[str, str]) -> int:
    """Return the size that the server announces; 0 if it does not."""
    value = next((value for name, value in headers.items() if name.lower() == "content-length"), "")
    return int(value) if value.isascii() and value.isdigit() and len(value) < MAX_LENGTH_DIGITS else 0


async def _read_stream(session: CDPSession, handle: str) -> bytes:
    body = bytearray()
    while len(body) <= MAX_IMAGE_BYTES:
        chunk = await session.send("IO.read", {"handle": handle, "size": CHUNK_BYTES})
        body += base64.b64decode(chunk["data"]) if chunk.get("base64Encoded") else chunk["data"].encode()
        if chunk["eof"]:
            return bytes(body)
    raise too_large_error(len(body))
