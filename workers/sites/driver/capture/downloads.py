"""Downloads of a page: only the download of the recipe is accepted, up to a maximum size while it arrives."""

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from playwright.async_api import Download, Error, Page

from schemas.errors import SiteChanged
from workers.images.convert import MAX_IMAGE_BYTES, too_large_error

START_TIMEOUT_MS = 30_000
TIMEOUT_S = 120.0


class Downloads:
    """The downloads of one page. All of them are cancelled, except the first one while ``fetch`` waits for it.

    The browser reports the size of a download about twice a second, so a download may exceed the maximum by what
    arrives in half a second.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._is_expected = False
        self._cancellations: set[asyncio.Task[None]] = set()
        page.on("download", self._on_download)

    def _on_download(self, download: Download) -> None:
        if self._is_expected:
            self._is_expected = False
            return
        task = asyncio.create_task(_cancel(download))
        self._cancellations.add(task)
        task.add_done_callback(self._cancellations.discard)

    async def fetch(self, start: Callable[[], Awaitable[None]]) -> bytes:
        """Run ``start`` and return the file that the page then downloads.

        Raises:
            ResultRefused: the file is larger than ``MAX_IMAGE_BYTES``.
            SiteChanged: the download does not end within ``TIMEOUT_S``.
        """
        session = await self._page.context.new_cdp_session(self._page)
        size: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def on_progress(event: dict[str, Any]) -> None:
            received = int(max(event["receivedBytes"], event["totalBytes"]))
            if received > MAX_IMAGE_BYTES and not size.done():
                size.set_result(received)

        session.on("Page.downloadProgress", on_progress)
        await session.send("Page.enable")
        self._is_expected = True
        try:
            async with self._page.expect_download(timeout=START_TIMEOUT_MS) as expected:
                await start()
            return await _save(await expected.value, size)
        finally:
            self._is_expected = False
            with contextlib.suppress(Error):
                await session.detach()


async def _save(download: Download, excessive_size: "asyncio.Future[int]") -> bytes:
    # The download's own path is on the browser's machine, which may be another one.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        saving = asyncio.ensure_future(download.save_as(path))
        either: set[asyncio.Future[Any]] = {saving, excessive_size}
        try:
            await asyncio.wait(either, timeout=TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
            if excessive_size.done():
                raise too_large_error(excessive_size.result())
            if not saving.done():
                raise SiteChanged(f"The page's download did not end within {TIMEOUT_S:g} s.")
            saving.result()
            if (size := path.stat().st_size) > MAX_IMAGE_BYTES:
                raise too_large_error(size)
            return await asyncio.to_thread(path.read_bytes)
        finally:
            if not saving.done():
                await _cancel(download)
            await asyncio.gather(saving, return_exceptions=True)


async def _cancel(download: Download) -> None:
    # The page may have closed.
    with contextlib.suppress(Error):
        await download.cancel()
