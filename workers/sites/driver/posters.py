"""Posters: JPEG pictures of results that this process does not decode, which are videos and very large pictures.

The browser draws them. It decodes in its own sandbox, and whatever the page could show, it can draw.
"""

import asyncio
import base64
import binascii
import contextlib

from playwright.async_api import BrowserContext, Error

from schemas.images import formats
from schemas.jobs.job import GeneratedImage
from workers.sites.driver.uploads import CHUNK_BYTES

MAX_SIDE_PX = 2048
TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 5.0
COLLECT_SCRIPT = """text => {
  (window.parts ??= []).push(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)));
}"""
DRAW_SCRIPT = """async ({ type, maxSide }) => {
  const url = URL.createObjectURL(new Blob(window.parts, { type }));
  const draw = (source, width, height) => {
    const scale = Math.min(1, maxSide / Math.max(width, height));
    const size = { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
    const canvas = Object.assign(document.createElement("canvas"), size);
    const context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.9).split(",")[1];
  };
  if (!type.startsWith("video/")) {
    const image = Object.assign(new Image(), { src: url });
    await image.decode();
    return draw(image, image.naturalWidth, image.naturalHeight);
  }
  const video = Object.assign(document.createElement("video"), { muted: true, preload: "auto" });
  const isLoaded = new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new Error("the browser cannot play it"));
  });
  video.src = url;
  await isLoaded;
  return draw(video, video.videoWidth, video.videoHeight);
}"""


async def draw_poster(context: BrowserContext, image: GeneratedImage) -> bytes | None:
    """Return the picture, or the first frame of the video, as JPEG; None if the browser cannot draw it.

    Drawn on a blank page: the rules of the site's page for its own scripts and media do not apply there.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            page = await context.new_page()
            try:
                for start in range(0, len(image.data), CHUNK_BYTES):
                    chunk = base64.b64encode(image.data[start : start + CHUNK_BYTES]).decode()
                    await page.evaluate(COLLECT_SCRIPT, chunk)
                options = {"type": image.media_type, "maxSide": MAX_SIDE_PX}
                poster = base64.b64decode(await page.evaluate(DRAW_SCRIPT, options))
            finally:
                with contextlib.suppress(Error, TimeoutError):
                    async with asyncio.timeout(CLOSE_TIMEOUT_S):
                        await page.close()
    except (Error, TimeoutError, TypeError, binascii.Error):
        return None
    return poster if formats.detect(poster) is formats.JPEG else None
