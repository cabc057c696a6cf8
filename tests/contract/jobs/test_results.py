"""Pictures that live as long as their job."""

import threading

from schemas.jobs.job import Picture, Submission
from tests.contract.conftest import Kept
from tests.contract.jobs.test_jobs import ID, completed


def test_a_conversion_lives_as_long_as_its_original(kept: Kept, submission: Submission, picture: Picture) -> None:
    """It is not there before it was made, and gone with the original."""
    completed(kept, submission, picture)
    assert kept.results.converted(ID, "webp") is None

    kept.results.keep_converted(ID, "webp", b"webp bytes")

    assert kept.results.converted(ID, "webp") == b"webp bytes"
    assert 0 < kept.redis.ttl(f"dr:{{{ID}}}:image.webp") <= 600


def test_nothing_is_kept_for_a_picture_that_has_expired(kept: Kept) -> None:
    """A conversion that comes too late is dropped."""
    kept.results.keep_converted(ID, "webp", b"webp bytes")

    assert kept.results.converted(ID, "webp") is None


def test_all_who_wait_for_a_conversion_are_woken(kept: Kept, submission: Submission, picture: Picture) -> None:
    """One conversion serves everybody who asked for it meanwhile."""
    completed(kept, submission, picture)
    got: list[bytes | None] = []
    waiting = [
        threading.Thread(target=lambda: got.append(kept.results.await_converted(ID, "webp", 5.0))) for _ in range(3)
    ]
    for thread in waiting:
        thread.start()

    kept.results.keep_converted(ID, "webp", b"webp bytes")
    for thread in waiting:
        thread.join()

    assert got == [b"webp bytes"] * 3
