"""Pictures that live as long as their job."""

import threading

from schemas.jobs.job import GeneratedImage, JobRequest
from tests.contract.conftest import RedisStores
from tests.contract.jobs.test_jobs import JOB_ID, create_completed_job


def test_a_conversion_lives_as_long_as_its_original(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """It is not there before it was made, and gone with the original."""
    create_completed_job(stores, job_request, image)
    assert stores.results.get_converted(JOB_ID, "webp") is None

    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")

    assert stores.results.get_converted(JOB_ID, "webp") == b"webp bytes"
    assert 0 < stores.redis.ttl(f"dr:{{{JOB_ID}}}:image.webp") <= 600


def test_nothing_is_kept_for_a_picture_that_has_expired(stores: RedisStores) -> None:
    """A conversion that comes too late is dropped."""
    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")

    assert stores.results.get_converted(JOB_ID, "webp") is None


def test_all_who_wait_for_a_conversion_are_woken(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """One conversion serves everybody who asked for it meanwhile."""
    create_completed_job(stores, job_request, image)
    got: list[bytes | None] = []
    waiting = [
        threading.Thread(target=lambda: got.append(stores.results.wait_for_converted(JOB_ID, "webp", 5.0)))
        for _ in range(3)
    ]
    for thread in waiting:
        thread.start()

    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")
    for thread in waiting:
        thread.join()

    assert got == [b"webp bytes"] * 3
