"""The asyncio client. ``sync`` has the same methods for synchronous programs."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import EventSource

from .event_follower import EventFollower
from .gallery import PREFIX, Gallery
from .models import DarkroomError, Event, Job, JobFailedError, read_bytes, read_json, read_optional_json
from .requests import (
    MAX_TRIES,
    RETRYABLE_STATUSES,
    Image,
    client_options,
    image_file,
    pause_s,
    result_path,
    submit_request,
)


class AsyncDarkroom:
    """A client of one Darkroom. Close it, or use it in an ``async with`` block."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """``url`` is the server's address, such as ``http://127.0.0.1:3000``. No request is sent yet."""
        self._http = httpx.AsyncClient(**client_options(url, key), transport=transport)
        self.gallery: Gallery[Awaitable[Any]] = Gallery(self._send_to_gallery)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def submit(
        self,
        prompt: str,
        *,
        site: str | None = None,
        lora: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        images: Mapping[str, Image] | None = None,
        priority: int | None = None,
        webhook: str | None = None,
        idempotency_key: str | None = None,
    ) -> Job:
        """Submit a job and return it; an idempotency key that was used before returns the earlier job.

        ``images`` has pictures by the names of the site's image inputs: bytes, paths of files, ``{"uploadId": ID}``, or
        ``{"jobId": ID, "number": 1}`` for a picture of one of your jobs, or ``{"jobId": ID, "input": NAME}`` for the
        picture of one of its inputs.

        If the connection breaks, the request is retried with the same key, so it never creates a second job.

        Raises:
            DarkroomError: the request was refused, or the server does not respond.
            OSError: the file of a picture cannot be read.
        """
        fields = {"site": site, "lora": lora, "inputs": inputs, "priority": priority, "webhook": webhook}
        request = submit_request(prompt, idempotency_key, images, **fields)
        for tries in range(MAX_TRIES):
            try:
                response = await self._http.post("/api/v1/jobs", headers=request.headers, **request.content)
            except httpx.TransportError as error:
                if tries == MAX_TRIES - 1:
                    raise DarkroomError(f"Darkroom does not answer: {error}") from error
            else:
                if response.status_code not in RETRYABLE_STATUSES or tries == MAX_TRIES - 1:
                    break
            await asyncio.sleep(pause_s(tries))
        return Job.read(read_json(response))

    async def upload(self, image: bytes | os.PathLike[str]) -> str:
        """Upload a picture for several jobs and return its id; it is kept for an hour.

        Raises:
            DarkroomError: it is not an acceptable picture, or the server does not respond.
            OSError: the file cannot be read.
        """
        files = {"file": image_file(image)}
        return str(read_json(await self._request("POST", "/api/v1/uploads", files=files))["id"])

    async def job(self, job_id: str) -> Job:
        """Return a job of yours."""
        return Job.read(read_json(await self._request("GET", f"/api/v1/jobs/{job_id}")))

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job and return it; a running job ends within a second."""
        return Job.read(read_json(await self._request("DELETE", f"/api/v1/jobs/{job_id}")))

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        """Yield a job's events from the first to the last, each once, across broken connections.

        Raises:
            DarkroomError: there is no such job, or the server has not responded for minutes.
        """
        follower = EventFollower(job_id)
        while not follower.is_done:
            try:
                async for event in self._stream(follower) if follower.can_stream else self._poll(follower):
                    yield event
            except httpx.TransportError as error:
                follower.on_connection_lost(DarkroomError(f"Darkroom does not answer: {error}"))
            except DarkroomError as error:
                follower.on_error(error)
            if not follower.is_done:
                await asyncio.sleep(follower.pause_s)

    async def _stream(self, follower: EventFollower) -> AsyncIterator[Event]:
        async with self._http.stream("GET", follower.path, headers=follower.headers) as response:
            if not follower.accept_stream(response):
                await response.aread()
                read_bytes(response)
                return
            async for message in EventSource(response).aiter_sse():
                if event := follower.on_message(message):
                    yield event
        if not follower.is_done:
            follower.on_connection_lost(DarkroomError("The event stream keeps ending before the job's last event."))

    async def _poll(self, follower: EventFollower) -> AsyncIterator[Event]:
        if event := follower.on_response(await self._http.get(follower.path, params=follower.query)):
            yield event

    async def wait(self, job_id: str) -> Job:
        """Wait until a job is completed and return it.

        Raises:
            JobFailedError: the job failed.
            DarkroomError: as for ``events``.
        """
        async for _ in self.events(job_id):
            pass
        job = await self.job(job_id)
        if job.status == "FAILED":
            raise JobFailedError(job)
        return job

    async def download(self, job_id: str, number: int = 1, *, form: str | None = None) -> bytes:
        """Return the original bytes of a finished job's image, or its first image as ``jpg``, ``png`` or ``webp``."""
        return read_bytes(await self._request("GET", result_path(job_id, number, form)))

    async def generate(self, prompt: str, **fields: Any) -> bytes:
        """Submit a job, wait for it and return the bytes of its image; ``fields`` are those of ``submit``."""
        job = await self.submit(prompt, **fields)
        return await self.download((await self.wait(job.id)).id)

    async def _send_to_gallery(self, method: str, path: str, **content: Any) -> Any:
        # A renamed collection answers with a redirect.
        return read_optional_json(await self._request(method, PREFIX + path, follow_redirects=True, **content))

    async def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise DarkroomError(f"Darkroom does not answer: {error}") from error
