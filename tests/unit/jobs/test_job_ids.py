"""Ids of jobs: random to look at, and known to the installation that made them."""

import secrets

import pytest

from stores.jobs.job_ids import JobIds
from tests.conftest import FakeClock


def test_ids_are_known_to_their_own_installation_only(clock: FakeClock) -> None:
    """They have 32 hexadecimal characters, all differ, and none begins like the others."""
    ids, others = JobIds("one secret", clock), JobIds("another secret", clock)
    made = {ids.create() for _ in range(500)}

    assert len(made) == 500
    assert all(len(job_id) == 32 and int(job_id, 16) >= 0 and ids.is_issued(job_id) for job_id in made)
    assert len({job_id[:4] for job_id in made}) > 400
    assert not any(others.is_issued(job_id) for job_id in made)
    clock.advance(10**9)
    assert all(ids.is_issued(job_id) for job_id in made)


def test_other_ids_are_unknown(clock: FakeClock) -> None:
    """Random ids, changed ids, and texts that are not ids."""
    ids = JobIds("a secret", clock)
    made = ids.create()

    assert not any(ids.is_issued(secrets.token_hex(16)) for _ in range(500))
    assert not any(ids.is_issued(made[:at] + ("0" if made[at] != "0" else "1") + made[at + 1 :]) for at in range(32))


@pytest.mark.parametrize("text", ["", "a", "a" * 31, "a" * 33, "g" * 32, "é" * 32, "0" * 10_000, " " * 32])
def test_malformed_ids_are_unknown(text: str, clock: FakeClock) -> None:
    """Nothing raises."""
    assert not JobIds("a secret", clock).is_issued(text)
