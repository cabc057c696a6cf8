"""The id that a program gives to the prompt of this job, in its answer to the request by which the page submits it."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from playwright.async_api import Error, Page, Response

from schemas.sites.documents import get_path
from schemas.sites.recipe import CancelSpec

# The id is put into requests, and comes from the page.
VALID_ID = re.compile(r"[\w.:-]{1,200}")


class SubmissionId:
    """Reads the id where the recipe's ``[cancel]`` says that it is; ``on_known`` is called with it, once."""

    def __init__(self, cancel: CancelSpec | None, on_known: Callable[[str], None]) -> None:
        self._cancel = cancel
        self._on_known = on_known
        self._reading: set[asyncio.Task[None]] = set()
        self._answered = asyncio.Event()
        self.value = ""

    def listen(self, page: Page) -> None:
        """Read the answer to the next request that submits a prompt."""
        if self._cancel and self._cancel.id_url:
            page.on("response", self._on_response)

    async def wait(self) -> str:
        """Return the id once the answers that have arrived are read; empty if none has one."""
        if not self.value:
            await asyncio.gather(*self._reading)
        return self.value

    async def wait_for_answer(self) -> str:
        """Return the id once a request that submits a prompt has been answered; empty if the answer has none."""
        await self._answered.wait()
        return await self.wait()

    def _on_response(self, response: Response) -> None:
        path = urlsplit(response.url).path
        is_submission = response.request.method == "POST" and path.endswith(self._cancel.id_url if self._cancel else "")
        if is_submission and not self.value:
            task = asyncio.ensure_future(self._read(response))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
            self._answered.set()

    async def _read(self, response: Response) -> None:
        with contextlib.suppress(Error, ValueError):
            body = await response.json()
            value = str(get_path(body, self._cancel.id)) if self._cancel else ""
            if VALID_ID.fullmatch(value) and not self.value:
                self.value = value
                self._on_known(value)
