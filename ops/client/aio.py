"""The client for programs that do other things meanwhile. ``synchronous`` is the same for those that wait."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import EventSource

from .event_follower import EventFollower
from .models import DarkroomError, Event, Job, JobFailedError, read_bytes, read_json
from .requests import MAX_TRIES, RETRYABLE_STATUSES, client_options, pause_s, result_path, submit_request


class AsyncDarkroom:
    """A Darkroom somewhere; close it, or use it in an ``async with`` block."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """``url`` is where it is, as in ``http://127.0.0.1:3000``. Nothing is asked yet."""
        self._http = httpx.AsyncClient(**client_options(url, key), transport=transport)

    async def __aenter__(self) -> Self:
        """Use it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of every connection."""
        await self._http.aclose()

    async def submit(
        self,
        prompt: str,
        *,
        site: str | None = None,
        lora: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        priority: int | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """A new job, or the one that the same key has made before.

        A connection that breaks meanwhile is tried again and makes no second job.

        Raises:
            DarkroomError: it was refused, or nobody answers.
        """
        fields = {"site": site, "lora": lora, "inputs": inputs, "priority": priority, "webhook": webhook}
        question = submit_request(prompt, idempotency_key, **fields)
        for tries in range(MAX_TRIES):
            try:
                answer = await self._http.post("/api/v1/jobs", json=question.body, headers=question.headers)
            except httpx.TransportError as error:
                if tries == MAX_TRIES - 1:
                    raise DarkroomError(f"Darkroom does not answer: {error}") from error
            else:
                if answer.status_code not in RETRYABLE_STATUSES or tries == MAX_TRIES - 1:
                    break
            await asyncio.sleep(pause_s(tries))
        return Job.read(read_json(answer))

    async def job(self, job_id: str) -> Job:
        """How a job of yours is."""
        return Job.read(read_json(await self._request("GET", f"/api/v1/jobs/{job_id}")))

    async def cancel(self, job_id: str) -> Job:
        """The job, which ends at once or within a second."""
        return Job.read(read_json(await self._request("DELETE", f"/api/v1/jobs/{job_id}")))

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        """What happens to a job, from its first event to its last, each once, whatever connections break on the way.

        Raises:
            DarkroomError: there is no such job, or nobody has answered for minutes.
        """
        following = EventFollower(job_id)
        while not following.is_done:
            try:
                async for event in self._stream(following) if following.can_stream else self._poll(following):
                    yield event
            except httpx.TransportError as error:
                following.on_connection_lost(DarkroomError(f"Darkroom does not answer: {error}"))
            except DarkroomError as error:
                following.on_error(error)
            if not following.is_done:
                await asyncio.sleep(following.pause_s)

    async def _stream(self, following: EventFollower) -> AsyncIterator[Event]:
        async with self._http.stream("GET", following.path, headers=following.headers) as answer:
            if not following.accept_stream(answer):
                await answer.aread()
                read_bytes(answer)
                return
            async for said in EventSource(answer).aiter_sse():
                if event := following.on_message(said):
                    yield event
        if not following.is_done:
            following.on_connection_lost(DarkroomError("The stream ended too early, time after time."))

    async def _poll(self, following: EventFollower) -> AsyncIterator[Event]:
        if event := following.on_response(await self._http.get(following.path, params=following.query)):
            yield event

    async def wait(self, job_id: str) -> Job:
        """The job once it has its pictures.

        Raises:
            JobFailedError: it has none.
            DarkroomError: as ``events`` does.
        """
        async for _ in self.events(job_id):
            pass
        job = await self.job(job_id)
        if job.status == "FAILED":
            raise JobFailedError(job)
        return job

    async def download(self, job_id: str, number: int = 1, *, form: str | None = None) -> bytes:
        """A finished job's picture: the original bytes, or the first one as ``jpg``, ``png`` or ``webp``."""
        return read_bytes(await self._request("GET", result_path(job_id, number, form)))

    async def generate(self, prompt: str, **fields: Any) -> bytes:
        """The bytes of a picture: ``submit`` (which takes ``fields``), ``wait`` and ``download`` in one."""
        job = await self.submit(prompt, **fields)
        return await self.download((await self.wait(job.id)).id)

    async def _request(self, method: str, path: str) -> httpx.Response:
        try:
            return await self._http.request(method, path)
        except httpx.TransportError as error:
            raise DarkroomError(f"Darkroom does not answer: {error}") from error
