"""Jobs on a program that fails or is abandoned, the whole way, with a worker and a browser."""

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import Settings
from schemas.jobs.job import GeneratedImage
from tests.conftest import eventually
from tests.integration.conftest import AppClient, Deployment, start_deployment
from tests.integration.sites.conftest import AttemptResult
from tests.support.fake_site.shared_outputs import SharedOutputs, serve_shared_outputs


@pytest.fixture(scope="module")
def program() -> Iterator[SharedOutputs]:
    """A program with one worker and one list of outputs for all of its pages."""
    with serve_shared_outputs() as running:
        yield running


@pytest.fixture(scope="module")
def stopping_deployment(base_settings: Settings, program: SharedOutputs) -> Iterator[Deployment]:
    """A deployment whose site is the program; an attempt has eight seconds."""
    with (
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
        start_deployment(
            base_settings,
            Path(folder),
            site="fooocus",
            site_urls={"fooocus": program.url},
            job_deadline_s=8,
            worker_concurrency=1,
        ) as deployment,
    ):
        yield deployment


def submit(app: AppClient, prompt: str) -> str:
    """Submit a job and return its id."""
    return str(app.post("/api/v1/jobs", json={"prompt": prompt}).json["id"])


def shows(app: AppClient, job: dict[str, Any]) -> AttemptResult:
    """Return the pictures of a completed job."""
    results = range(1, len(job["results"]) + 1)
    bodies = [app.get(f"/api/v1/jobs/{job['id']}/results/{number}").data for number in results]
    return AttemptResult([GeneratedImage(body, "image/png", 1, 1) for body in bodies])


def test_the_job_after_a_cancelled_one_gets_its_own_picture(
    stopping_deployment: Deployment, program: SharedOutputs
) -> None:
    """The program's log shows that it was stopped, and that the next job began at once."""
    app = stopping_deployment.app
    cancelled = submit(app, "a slow sleeping cat")
    eventually(lambda: app.get_job(cancelled)["progress"] is not None)
    app.delete(f"/api/v1/jobs/{cancelled}")
    following = submit(app, "a flying bird")

    ended = app.wait_for_end(cancelled)
    assert (ended["status"], ended["error"]["code"]) == ("FAILED", "cancelled")
    assert ended["error"]["message"] == "The job was cancelled. The site's program was stopped."
    bird = app.wait_for_end(following)
    assert bird["status"] == "COMPLETED"
    assert shows(app, bird).shows_images_of("a flying bird", 0, 1)
    assert program.log[-4:] == [
        "started a slow sleeping cat",
        "stopped a slow sleeping cat",
        "started a flying bird",
        "finished a flying bird",
    ]
    assert bird["progress"]["percentage"] == 100


@pytest.mark.parametrize(
    "words",
    [
        "Connection errored out.",
        "Queue is full! There are 10 requests in the queue.",
        "This application is currently busy. Please try again.",
        "CUDA out of memory. Tried to allocate 2.00 GiB.",
    ],
)
def test_a_passing_fault_is_tried_again(stopping_deployment: Deployment, words: str) -> None:
    """The second attempt produces the picture."""
    app = stopping_deployment.app

    job = app.wait_for_end(submit(app, f"a patient donkey once: {words}"))

    assert (job["status"], job["attempt"]) == ("COMPLETED", 2)
    assert app.stores.circuit_breakers.read(["fooocus"])["fooocus"].is_open is False


def test_words_of_moderation_are_final(stopping_deployment: Deployment) -> None:
    """The prompt is not sent again."""
    app = stopping_deployment.app

    job = app.wait_for_end(submit(app, "a rude donkey once: NSFW content was detected. Please try again."))

    assert (job["status"], job["attempt"], job["error"]["code"]) == ("FAILED", 1, "site_refused")
    assert job["error"]["message"] == "NSFW content was detected. Please try again."


def test_a_deadline_stops_the_program(stopping_deployment: Deployment, program: SharedOutputs) -> None:
    """The end of the job says so."""
    app = stopping_deployment.app

    ended = app.wait_for_end(submit(app, "a slow snail"))

    assert ended["error"]["code"] == "deadline_exceeded"
    assert "The site's program was stopped." in ended["error"]["message"]
    assert program.log[-2:] == ["started a slow snail", "stopped a slow snail"]


def test_a_lost_lease_stops_the_program(stopping_deployment: Deployment, program: SharedOutputs) -> None:
    """The worker that has lost the job stops the program before another attempt begins."""
    app = stopping_deployment.app
    job_id = submit(app, "a slow lost ship")
    eventually(lambda: app.get_job(job_id)["progress"] is not None)

    # As the sweep does when a worker has no heartbeat for a while.
    owner = app.stores.maintenance.get_lease_owner(job_id)
    assert owner
    assert app.stores.maintenance.requeue_expired(job_id, owner)
    eventually(lambda: program.log[-1] == "started a slow lost ship" and program.log.count(program.log[-1]) == 2)
    assert program.log[-3:] == ["started a slow lost ship", "stopped a slow lost ship", "started a slow lost ship"]
    app.delete(f"/api/v1/jobs/{job_id}")
    app.wait_for_end(job_id)


def test_a_worker_that_stops_stops_the_program(stopping_deployment: Deployment, program: SharedOutputs) -> None:
    """The job goes back to the queue, and its next attempt does not wait behind the abandoned one."""
    app = stopping_deployment.app
    job_id = submit(app, "a slow river")
    eventually(lambda: app.get_job(job_id)["progress"] is not None)

    worker = stopping_deployment.processes["worker"]
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    assert program.log[-1] == "stopped a slow river"

    stopping_deployment.start("worker")
    eventually(lambda: program.log[-1] == "started a slow river")
    app.delete(f"/api/v1/jobs/{job_id}")
    app.wait_for_end(job_id)
    assert program.log[-1] == "stopped a slow river"
