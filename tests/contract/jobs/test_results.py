"""Images expire with their job."""

import threading

from schemas.jobs.job import GeneratedImage, JobRequest
from tests.conftest import eventually
from tests.contract.conftest import RedisStores
from tests.contract.jobs.test_jobs import JOB_ID, create_completed_job


def test_a_conversion_expires_with_its_original(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """It does not exist before it is stored, nor after the original has expired."""
    create_completed_job(stores, job_request, image)
    assert stores.results.get_converted(JOB_ID, "webp") is None

    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")

    assert stores.results.get_converted(JOB_ID, "webp") == b"webp bytes"
    assert 0 < stores.redis.ttl(f"dr:{{{JOB_ID}}}:image.webp") <= 600


def test_a_conversion_of_an_expired_image_is_dropped(stores: RedisStores) -> None:
    """It is not stored after the original has expired."""
    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")

    assert stores.results.get_converted(JOB_ID, "webp") is None


def test_one_conversion_wakes_all_waiting_callers(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """One conversion serves all callers, and is requested once, until it is stored or the request is too old."""
    create_completed_job(stores, job_request, image)
    results: list[bytes | None] = []
    requests: list[str] = []

    def request() -> bytes | None:
        return stores.results.request_converted(JOB_ID, "webp", lambda: requests.append("webp"), timeout_s=60.0)

    waiting = [threading.Thread(target=lambda: results.append(request())) for _ in range(3)]
    for thread in waiting:
        thread.start()
    pending = f"dr:{{{JOB_ID}}}:asked.webp"
    eventually(lambda: requests and stores.redis.ttl(pending) > 0)
    stores.results.store_converted(JOB_ID, "webp", b"webp bytes")
    for thread in waiting:
        thread.join()

    assert results == [b"webp bytes"] * 3
    assert requests == ["webp"]
    assert not stores.redis.exists(pending)
    assert request() == b"webp bytes"
    assert requests == ["webp"]


def test_each_image_has_its_own_conversions(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage
) -> None:
    """That of the second image is not taken for that of the first."""
    create_completed_job(stores, job_request, image)

    stores.results.store_converted(JOB_ID, "png", b"second", number=2)

    assert stores.results.get_converted(JOB_ID, "png") is None
    assert stores.results.get_converted(JOB_ID, "png", 2) == b"second"
