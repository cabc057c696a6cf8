"""The chaos' verdict sees what it is there to see."""

from typing import Any, cast

import pytest

from ops.chaos.clients import ExpectedImage
from ops.chaos.verdict import Verdict
from ops.testbed import marked_images
from ops.testbed.stack import Stack
from schemas.errors import SiteRefused
from schemas.jobs.job import GeneratedImage, JobRequest
from stores import Stores
from stores.queue.worker_heartbeats import WorkerStatus
from tests.integration.conftest import AppClient

ID, NONCE = "a" * 32, 4711


@pytest.fixture
def stores(app: AppClient) -> Stores:
    """The stores of one test, with a job that has its own picture."""
    stores = app.stores
    stores.jobs.create(ID, "ann", JobRequest("studio", "x"), "r")
    job = stores.attempts.claim("w")
    assert job
    stores.attempts.mark_accepted(job)
    painted = [GeneratedImage(marked_images.draw(NONCE, 1), "image/png", 96, 96)]
    stores.attempts.store_images(job, painted, marked_images.draw(NONCE, 1, "JPEG"))
    stores.attempts.complete(job, painted)
    return stores


def judged(stores: Stores, wishes: list[ExpectedImage]) -> Verdict:
    """The verdict on the jobs and on what was left."""
    stack = Stack(stores.settings, stores, cast(Any, None))
    verdict = Verdict()
    verdict.judge_jobs(stack, wishes)
    verdict.judge_slots(stack)
    return verdict


def test_a_job_with_its_own_picture_is_good(stores: Stores) -> None:
    """And so is one that failed for a reason."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    job = stores.attempts.claim("w")
    assert job
    stores.attempts.fail(job, SiteRefused("no"))
    verdict = judged(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "b" * 32)])

    assert (verdict.is_good, verdict.completed, dict(verdict.failed)) == (True, 1, {"site_refused": 1})


def test_somebody_elses_picture_is_seen(stores: Stores) -> None:
    """Original or JPEG."""
    assert judged(stores, [ExpectedImage(NONCE + 1, "ann", ID)]).wrong_image == 1
    stores.redis.set(f"dr:{{{ID}}}:image.jpg", marked_images.draw(NONCE + 1, 1, "JPEG"))
    assert judged(stores, [ExpectedImage(NONCE, "ann", ID)]).wrong_image == 1


def test_a_lost_job_is_seen(stores: Stores) -> None:
    """One that was promised and is not there."""
    assert judged(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "c" * 32)]).lost == 1


def test_a_second_end_is_seen(stores: Stores) -> None:
    """In the log of events."""
    stores.redis.xadd(f"dr:{{{ID}}}:events", {"type": "failed"})
    assert judged(stores, [ExpectedImage(NONCE, "ann", ID)]).ended_twice == 1


def test_a_second_job_for_one_wish_is_seen(stores: Stores) -> None:
    """More jobs than promises."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    stores.jobs.cancel("b" * 32)
    assert judged(stores, [ExpectedImage(NONCE, "ann", ID)]).duplicated == 1


def test_a_stuck_job_and_a_leaked_slot_are_seen(stores: Stores) -> None:
    """Neither ended nor given back."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    stores.attempts.claim("w")
    stores.workers.record_heartbeat(WorkerStatus("w", True, "", 0, contexts=2, slots=4, jobs=1, memory_bytes=0))  # noqa: FBT003 - ready
    verdict = judged(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "b" * 32)])

    assert (verdict.stuck, verdict.slots_leaked) == (1, 5)
