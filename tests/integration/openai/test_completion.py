"""Waiting for jobs within a request: what ends the wait, and what becomes of the jobs."""

import functools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from flask import g

import api.jobs.completion
from api.jobs.completion import UpdateKind, follow_jobs, wait_for_own_jobs
from schemas.errors import Gone, WaitTimedOut
from schemas.jobs.lifecycle import JobState
from stores.accounts.key_revocation import Credential
from stores.redis.keys import job_key
from tests.conftest import API_KEY, TIMEOUT_S, eventually
from tests.integration.conftest import AppClient, FakeWorker
from tests.support.automatic_worker import AutomaticWorker
from tests.support.event_streams import KEY_HEADERS

PATH = "/v1/images/generations"
ENDLESS = {"prompt": "endless fields"}


@dataclass
class Pending:
    """A request in a thread, and its response when it is there."""

    thread: threading.Thread
    responses: list[httpx.Response]

    def response(self) -> httpx.Response:
        """Wait for the response."""
        self.thread.join(TIMEOUT_S)
        assert self.responses, "no response in time"
        return self.responses[0]


def post_in_thread(url: str, body: dict[str, Any], key: str = API_KEY) -> Pending:
    """Send a request that waits for its job."""
    responses: list[httpx.Response] = []

    def post() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        answer = httpx.post(f"{url}{PATH}", json=body, headers=headers, timeout=TIMEOUT_S, trust_env=False)
        responses.append(answer)

    thread = threading.Thread(target=post)
    thread.start()
    return Pending(thread, responses)


def running_jobs(app: AppClient) -> list[str]:
    """Return the ids of jobs that a page works on."""
    return [job["id"] for job in app.get("/api/v1/jobs").json["jobs"] if job["status"] == "PENDING"]


@pytest.fixture
def automatic_worker(app: AppClient) -> Iterator[None]:
    """Run a worker that completes most jobs at once."""
    with AutomaticWorker(app.stores):
        yield


def test_updates_tell_what_happens_until_the_end(app: AppClient, worker: FakeWorker) -> None:
    """Progress, previews, heartbeats in silence, and the job as it has ended."""
    job = app.stores.jobs.get(worker.job_id)
    updates = follow_jobs(app.stores, Credential(key=API_KEY), [job])
    worker.start()
    worker.report_progress(10)
    worker.report_preview()
    seen = [next(updates) for _ in range(3)]
    worker.complete()
    last = next(updates)

    assert [(update.kind, update.percentage) for update in seen] == [
        (UpdateKind.PROGRESS, None),
        (UpdateKind.PROGRESS, 50.0),
        (UpdateKind.PREVIEW, None),
    ]
    assert last.kind is UpdateKind.END
    assert last.job
    assert (last.job.id, last.job.state) == (worker.job_id, JobState.COMPLETED)
    assert list(updates) == []


def test_heartbeats_come_in_silence_and_notice_lost_ends(
    app: AppClient, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a job is found without its event, and an expired job is an error."""
    monkeypatch.setattr(api.jobs.completion, "HEARTBEAT_S", 0.05)
    worker.start()
    job = app.stores.jobs.get(worker.job_id)
    updates = follow_jobs(app.stores, Credential(key=API_KEY), [job])
    kinds = iter(update.kind for update in updates)
    assert UpdateKind.HEARTBEAT in kinds
    worker.complete()
    app.stores.redis.delete(job_key(job.id, "events"))
    assert UpdateKind.END in kinds

    expired = follow_jobs(app.stores, Credential(key=API_KEY), [app.stores.jobs.get(app.submit())])
    gone = next(expired).kind
    job_id = app.get("/api/v1/jobs").json["jobs"][0]["id"]
    app.stores.redis.delete(job_key(job_id, "job"))
    app.stores.redis.set(job_key(job_id, "gone"), 1)
    with pytest.raises(Gone):
        list(expired)
    assert gone is UpdateKind.HEARTBEAT


@pytest.mark.usefixtures("automatic_worker")
def test_a_wait_ends_with_the_key(app: AppClient, app_url: str) -> None:
    """The answer is that of an invalid key; the job goes on."""
    bob = app.stores.api_keys.create("bob")
    pending = post_in_thread(app_url, ENDLESS, bob)
    [owner] = app.stores.api_keys.list_active()
    job_id = eventually(app.stores.maintenance.list_running)[0]
    app.stores.api_keys.revoke(owner.id)
    response = pending.response()

    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert response.headers["x-darkroom-jobs"] == job_id
    assert app.stores.jobs.get(job_id).state is JobState.PENDING


@pytest.mark.usefixtures("automatic_worker")
def test_a_wait_ends_in_time_and_with_the_process(
    app: AppClient, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answers say that the job goes on, and tell the packages not to send the request again."""
    monkeypatch.setattr(api.jobs.completion, "MAX_SILENT_WAIT_S", 0.1)
    with openai.OpenAI(base_url=f"{app_url}/v1", api_key=API_KEY, max_retries=2) as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.images.generate(**ENDLESS)
        late = caught.value.response
    eventually(lambda: len(running_jobs(app)) == 1)
    monkeypatch.setattr(api.jobs.completion, "MAX_SILENT_WAIT_S", 600.0)
    pending = post_in_thread(app_url, ENDLESS)
    eventually(lambda: len(running_jobs(app)) == 2)
    app.stores.notifier.announce_shutdown()
    stopped = pending.response()

    assert (late.status_code, late.json()["error"]["code"]) == (504, "wait_timed_out")
    assert (stopped.status_code, stopped.json()["error"]["code"]) == (503, "unavailable")
    assert [answer.headers["x-should-retry"] for answer in (late, stopped)] == ["false", "false"]
    assert "go on" in stopped.json()["error"]["message"]
    assert len(running_jobs(app)) == 2


def test_a_wait_ends_before_the_packages_give_up(app: AppClient) -> None:
    """It counts from the arrival of the request, as the packages do, and a job that has ended is no wait."""
    assert isinstance(openai.DEFAULT_TIMEOUT, openai.Timeout)
    assert openai.DEFAULT_TIMEOUT.read
    assert openai.DEFAULT_TIMEOUT.read - api.jobs.completion.MAX_SILENT_WAIT_S >= 30
    job_id = app.submit()
    with app.client.application.test_request_context(headers=KEY_HEADERS):
        g.began = time.perf_counter() - api.jobs.completion.MAX_SILENT_WAIT_S
        with pytest.raises(WaitTimedOut):
            wait_for_own_jobs([app.stores.jobs.get(job_id)])
        with AutomaticWorker(app.stores):
            app.wait_for_end(job_id)
        [ended] = wait_for_own_jobs([app.stores.jobs.get(job_id)])
    assert ended.state is JobState.COMPLETED


def test_streams_have_heartbeats_and_end_with_an_error(
    app: AppClient, app_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The package ignores the heartbeats, and raises the error that ends the stream."""
    monkeypatch.setattr(api.jobs.completion, "HEARTBEAT_S", 0.05)
    body = ENDLESS | {"stream": True}
    with httpx.stream(
        "POST", f"{app_url}{PATH}", json=body, headers=KEY_HEADERS, timeout=TIMEOUT_S, trust_env=False
    ) as response:
        lines = response.iter_lines()
        assert ": keep-alive" in lines
        app.delete(f"/api/v1/jobs/{response.headers['x-darkroom-jobs']}")
        assert "event: error" in lines
    with openai.OpenAI(base_url=f"{app_url}/v1", api_key=API_KEY) as client:
        stream = client.images.generate(**body)
        app.delete(f"/api/v1/jobs/{stream.response.headers['x-darkroom-jobs']}")
        with pytest.raises(openai.APIError, match="cancelled") as caught:
            list(stream)

    assert caught.value.code == "cancelled"


def hang_up(url: str, app: AppClient, body: dict[str, Any], headers: dict[str, str]) -> str:
    """Send a request, close the connection when its job runs, and return the job's id."""
    before = set(running_jobs(app))
    content = json.dumps(body).encode()
    parts = urlsplit(url)
    lines = [
        f"POST {PATH} HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: Bearer {API_KEY}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        [job_id] = eventually(lambda: set(running_jobs(app)) - before)
    return str(job_id)


@pytest.mark.usefixtures("automatic_worker")
def test_a_client_that_hangs_up_loses_its_job_only_if_it_asked_for_that(
    app: AppClient, web_process: tuple[str, Any, Any]
) -> None:
    """Under gunicorn, at once, with an answer in one piece and with a stream; without the header the job goes on."""
    for fields in ({}, {"stream": True}):
        kept = hang_up(web_process[0], app, ENDLESS | fields, {})
        cancelled = hang_up(web_process[0], app, ENDLESS | fields, {"X-Darkroom-Cancel-On-Disconnect": "true"})
        eventually(functools.partial(is_cancelled, app, cancelled))

        assert not is_cancelled(app, kept)
        assert app.stores.jobs.get(kept).state is JobState.PENDING


def is_cancelled(app: AppClient, job_id: str) -> bool:
    """Whether the job has been asked to end."""
    return app.stores.jobs.get(job_id).cancel_requested_at is not None


@pytest.mark.usefixtures("automatic_worker")
def test_a_client_that_waits_keeps_its_job(app: AppClient, app_url: str) -> None:
    """Asking for the cancellation changes nothing for a client that stays, and the watch over it ends."""
    headers = {"x-api-key": API_KEY, "X-Darkroom-Cancel-On-Disconnect": "true"}
    answer = httpx.post(
        f"{app_url}{PATH}", json={"prompt": "a harbour"}, headers=headers, timeout=TIMEOUT_S, trust_env=False
    )

    assert answer.status_code == 200
    named: Callable[[], list[str]] = lambda: [thread.name for thread in threading.enumerate()]  # noqa: E731
    eventually(lambda: "hang-up" not in named())
