"""The consistency check after fault injection detects every kind of violation."""

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
from stores.redis.keys import job_key
from tests.integration.conftest import AppClient

ID, NONCE = "a" * 32, 4711


@pytest.fixture
def stores(app: AppClient) -> Stores:
    """The stores, with one completed job that has its own image."""
    stores = app.stores
    stores.jobs.create(ID, "ann", JobRequest("studio", "x"), "r")
    job = stores.attempts.claim("w")
    assert job
    stores.attempts.mark_accepted(job)
    images = [GeneratedImage(marked_images.draw(NONCE, 1), "image/png", 96, 96)]
    keys = stores.attempts.store_images(job, images, marked_images.draw(NONCE, 1, "JPEG"))
    stores.attempts.complete(job, images, keys)
    return stores


def judge(stores: Stores, expected: list[ExpectedImage]) -> Verdict:
    """Check the jobs and the slots."""
    stack = Stack(stores.settings, stores, cast(Any, None))
    verdict = Verdict()
    verdict.judge_jobs(stack, expected)
    verdict.judge_slots(stack)
    return verdict


def test_a_job_with_its_own_image_is_good(stores: Stores) -> None:
    """A job that failed for a reason of the site is no violation either."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    job = stores.attempts.claim("w")
    assert job
    stores.attempts.fail(job, SiteRefused("no"))
    verdict = judge(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "b" * 32)])

    assert (verdict.is_good, verdict.completed, dict(verdict.failed)) == (True, 1, {"site_refused": 1})


def test_a_wrong_image_is_detected(stores: Stores) -> None:
    """Both the original and the JPEG are checked."""
    assert judge(stores, [ExpectedImage(NONCE + 1, "ann", ID)]).wrong_image == 1
    stores.redis.set(job_key(ID, "image.jpg"), marked_images.draw(NONCE + 1, 1, "JPEG"))
    assert judge(stores, [ExpectedImage(NONCE, "ann", ID)]).wrong_image == 1


def test_a_lost_job_is_detected(stores: Stores) -> None:
    """An accepted job must exist."""
    assert judge(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "c" * 32)]).lost == 1


def test_a_second_end_is_detected(stores: Stores) -> None:
    """The event log must have one final event."""
    stores.redis.xadd(job_key(ID, "events"), {"type": "failed"})
    assert judge(stores, [ExpectedImage(NONCE, "ann", ID)]).ended_twice == 1


def test_a_duplicate_job_is_detected(stores: Stores) -> None:
    """An owner must not have more jobs than submissions."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    stores.jobs.cancel("b" * 32)
    assert judge(stores, [ExpectedImage(NONCE, "ann", ID)]).duplicated == 1


def test_a_stuck_job_and_a_leaked_slot_are_detected(stores: Stores) -> None:
    """Jobs must end, and leases and contexts must be released."""
    stores.jobs.create("b" * 32, "ann", JobRequest("studio", "x"), "r")
    stores.attempts.claim("w")
    stores.workers.record_heartbeat(WorkerStatus("w", True, "", 0, contexts=2, slots=4, jobs=1, memory_bytes=0))  # noqa: FBT003 - ready
    verdict = judge(stores, [ExpectedImage(NONCE, "ann", ID), ExpectedImage(1, "ann", "b" * 32)])

    assert (verdict.stuck, verdict.slots_leaked) == (1, 5)
