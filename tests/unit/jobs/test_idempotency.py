"""Idempotency keys of the jobs of one request."""

import pytest

from schemas.jobs.idempotency import KEY_PATTERN, MAX_KEY_LENGTH, part_key


@pytest.mark.parametrize("length", [1, 252, 253, 254, MAX_KEY_LENGTH])
def test_each_job_of_a_request_has_its_own_valid_key(length: int) -> None:
    """The first one has that of the request; keys that differ at their end only have different ones."""
    keys = [part_key("k" * (length - 1) + end, part) for end in "ab" for part in (1, 2, 16)]

    assert keys[0] == "k" * (length - 1) + "a"
    assert len(set(keys)) == len(keys)
    assert all(key and KEY_PATTERN.fullmatch(key) for key in keys)


def test_keys_of_stored_jobs_stay_as_they_are() -> None:
    """A request that is repeated after an upgrade finds its jobs."""
    assert part_key("order-4711", 2) == "order-4711/2"
    assert part_key(None, 2) is None
