"""The client for programs that wait. ``asynchronous`` is the same for those that do not."""

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import EventSource

from .event_follower import EventFollower
from .models import DarkroomError, Event, Job, JobFailedError, read_bytes, read_json
from .requests import MAX_TRIES, RETRYABLE_STATUSES, client_options, pause_s, result_path, submit_request


class Darkroom:
    """A Darkroom somewhere; close it, or use it in a ``with`` block."""

    def __init__(self, url: str, key: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """``url`` is where it is, as in ``http://127.0.0.1:3000``. Nothing is asked yet."""
        self._http = httpx.Client(**client_options(url, key), transport=transport)

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of every connection."""
        self._http.close()

    def submit(
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
                answer = self._http.post("/api/v1/jobs", json=question.body, headers=question.headers)
            except httpx.TransportError as error:
                if tries == MAX_TRIES - 1:
                    raise DarkroomError(f"Darkroom does not answer: {error}") from error
            else:
                if answer.status_code not in RETRYABLE_STATUSES or tries == MAX_TRIES - 1:
                    break
            time.sleep(pause_s(tries))
        return Job.read(read_json(answer))

    def job(self, job_id: str) -> Job:
        """How a job of yours is."""
        return Job.read(read_json(self._request("GET", f"/api/v1/jobs/{job_id}")))

    def cancel(self, job_id: str) -> Job:
        """The job, which ends at once or within a second."""
        return Job.read(read_json(self._request("DELETE", f"/api/v1/jobs/{job_id}")))

    def events(self, job_id: str) -> Iterator[Event]:
        """What happens to a job, from its first event to its last, each once, whatever connections break on the way.

        Raises:
            DarkroomError: there is no such job, or nobody has answered for minutes.
        """
        following = EventFollower(job_id)
        while not following.is_done:
            try:
                yield from self._stream(following) if following.can_stream else self._poll(following)
            except httpx.TransportError as error:
                following.on_connection_lost(DarkroomError(f"Darkroom does not answer: {error}"))
            except DarkroomError as error:
                following.on_error(error)
            if not following.is_done:
                time.sleep(following.pause_s)

    def _stream(self, following: EventFollower) -> Iterator[Event]:
        with self._http.stream("GET", following.path, headers=following.headers) as answer:
            if not following.accept_stream(answer):
                answer.read()
                read_bytes(answer)
                return
            for said in EventSource(answer).iter_sse():
                if event := following.on_message(said):
                    yield event
        if not following.is_done:
            following.on_connection_lost(DarkroomError("The stream ended too early, time after time."))

    def _poll(self, following: EventFollower) -> Iterator[Event]:
        if event := following.on_response(self._http.get(following.path, params=following.query)):
            yield event

    def wait(self, job_id: str) -> Job:
        """The job once it has its pictures.

        Raises:
            JobFailedError: it has none.
            DarkroomError: as ``events`` does.
        """
        for _ in self.events(job_id):
            pass
        job = self.job(job_id)
        if job.status == "FAILED":
            raise JobFailedError(job)
        return job

    def download(self, job_id: str, number: int = 1, *, form: str | None = None) -> bytes:
        """A finished job's picture: the original bytes, or the first one as ``jpg``, ``png`` or ``webp``."""
        return read_bytes(self._request("GET", result_path(job_id, number, form)))

    def generate(self, prompt: str, **fields: Any) -> bytes:
        """The bytes of a picture: ``submit`` (which takes ``fields``), ``wait`` and ``download`` in one."""
        return self.download(self.wait(self.submit(prompt, **fields).id).id)

    def _request(self, method: str, path: str) -> httpx.Response:
        try:
            return self._http.request(method, path)
        except httpx.TransportError as error:
            raise DarkroomError(f"Darkroom does not answer: {error}") from error
