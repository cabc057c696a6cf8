"""The id that a program gives to a prompt."""

import asyncio
from collections.abc import Callable
from typing import Any

from schemas.sites.recipe import CancelSpec
from workers.sites.driver.submission_id import SubmissionId


class FakePage:
    """What Playwright reports of a page's responses."""

    def on(self, _event: str, handler: Callable[[Any], None]) -> None:
        """Keep the only handler."""
        self.answer = handler


class FakeResponse:
    """The answer to a POST request, whose body can be read once it is there; its own request."""

    method = "POST"

    def __init__(self, url: str) -> None:
        self.url = url
        self.request = self
        self.body: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def json(self) -> Any:
        """Return the body."""
        return await self.body


def test_a_stop_waits_for_the_answer_of_the_program() -> None:
    """The program may have the prompt before the page has the id; answers to other requests do not count."""

    async def work() -> None:
        for body, expected in (({"prompt_id": "a-1"}, "a-1"), ({"error": "no"}, ""), ({"prompt_id": "/../x"}, "")):
            page, known = FakePage(), []
            submission_id = SubmissionId(CancelSpec(id_url="/prompt", id="prompt_id"), known.append)
            submission_id.listen(page)  # type: ignore[arg-type] # a fake
            waiting = asyncio.ensure_future(submission_id.wait_for_answer())
            page.answer(FakeResponse("http://site/other"))
            answer = FakeResponse("http://site/api/prompt")
            await asyncio.sleep(0)
            assert (await submission_id.wait(), waiting.done()) == ("", False)
            page.answer(answer)
            await asyncio.sleep(0)
            assert not waiting.done()
            answer.body.set_result(body)
            assert (await waiting, known) == (expected, [expected] if expected else [])

    asyncio.run(work())
