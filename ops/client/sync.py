"""The synchronous client. ``aio`` has the same methods for asyncio."""

import os
import time
from collections.abc import Iterator, Mapping
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


class Darkroom:
    """A client of one Darkroom. Close it, or use it in a ``with`` block."""

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """``url`` is the server's address, such as ``http://127.0.0.1:3000``. No request is sent yet."""
        self._http = httpx.Client(**client_options(url, key), transport=transport)
        self.gallery: Gallery[Any] = Gallery(self._send_to_gallery)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._http.close()

    def submit(
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
                response = self._http.post("/api/v1/jobs", headers=request.headers, **request.content)
            except httpx.TransportError as error:
                if tries == MAX_TRIES - 1:
                    raise DarkroomError(f"Darkroom does not answer: {error}") from error
            else:
                if response.status_code not in RETRYABLE_STATUSES or tries == MAX_TRIES - 1:
                    break
            time.sleep(pause_s(tries))
        return Job.read(read_json(response))

    def upload(self, image: bytes | os.PathLike[str]) -> str:
        """Upload a picture for several jobs and return its id; it is kept for an hour.

        Raises:
            DarkroomError: it is not an acceptable picture, or the server does not respond.
            OSError: the file cannot be read.
        """
        files = {"file": image_file(image)}
        return str(read_json(self._request("POST", "/api/v1/uploads", files=files))["id"])

    def job(self, job_id: str) -> Job:
        """Return a job of yours."""
        return Job.read(read_json(self._request("GET", f"/api/v1/jobs/{job_id}")))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job and return it; a running job ends within a second."""
        return Job.read(read_json(self._request("DELETE", f"/api/v1/jobs/{job_id}")))

    def events(self, job_id: str) -> Iterator[Event]:
        """Yield a job's events from the first to the last, each once, across broken connections.

        Raises:
            DarkroomError: there is no such job, or the server has not responded for minutes.
        """
        follower = EventFollower(job_id)
        while not follower.is_done:
            try:
                yield from self._stream(follower) if follower.can_stream else self._poll(follower)
            except httpx.TransportError as error:
                follower.on_connection_lost(DarkroomError(f"Darkroom does not answer: {error}"))
            except DarkroomError as error:
                follower.on_error(error)
            if not follower.is_done:
                time.sleep(follower.pause_s)

    def _stream(self, follower: EventFollower) -> Iterator[Event]:
        with self._http.stream("GET", follower.path, headers=follower.headers) as response:
            if not follower.accept_stream(response):
                response.read()
                read_bytes(response)
                return
            for message in EventSource(response).iter_sse():
                if event := follower.on_message(message):
                    yield event
        if not follower.is_done:
            follower.on_connection_lost(DarkroomError("The event stream keeps ending before the job's last event."))

    def _poll(self, follower: EventFollower) -> Iterator[Event]:
        if event := follower.on_response(self._http.get(follower.path, params=follower.query)):
            yield event

    def wait(self, job_id: str) -> Job:
        """Wait until a job is completed and return it.

        Raises:
            JobFailedError: the job failed.
            DarkroomError: as for ``events``.
        """
        for _ in self.events(job_id):
            pass
        job = self.job(job_id)
        if job.status == "FAILED":
            raise JobFailedError(job)
        return job

    def download(self, job_id: str, number: int = 1, *, form: str | None = None) -> bytes:
        """Return the original bytes of a finished job's image, or its first image as ``jpg``, ``png`` or ``webp``."""
        return read_bytes(self._request("GET", result_path(job_id, number, form)))

    def generate(self, prompt: str, **fields: Any) -> bytes:
        """Submit a job, wait for it and return the bytes of its image; ``fields`` are those of ``submit``."""
        return self.download(self.wait(self.submit(prompt, **fields).id).id)

    def _send_to_gallery(self, method: str, path: str, **content: Any) -> Any:
        # A renamed collection answers with a redirect.
        return read_optional_json(self._request(method, PREFIX + path, follow_redirects=True, **content))

    def _request(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise DarkroomError(f"Darkroom does not answer: {error}") from error
