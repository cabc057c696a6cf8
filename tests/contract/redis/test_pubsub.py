"""Watching jobs: whoever waits is woken by a change, and by what might have been one."""

from collections.abc import Iterator

import pytest
from redis import Redis

from schemas.errors import BrowserLost
from schemas.jobs.job import Submission
from stores.jobs.metrics import read_measures
from stores.jobs.shared_reads import Glances
from stores.redis.pubsub import Changes
from tests.conftest import DEADLINE_S, FakeClock
from tests.contract.conftest import Kept
from tests.contract.jobs.test_jobs import ID, OTHER, OWNER, accepted


@pytest.fixture
def changes(client: Redis) -> Iterator[Changes]:
    """The watcher under test."""
    changes = Changes(client)
    yield changes
    changes.stop()


def test_a_change_wakes_who_watches_that_job(kept: Kept, changes: Changes, submission: Submission) -> None:
    """And nobody else, once the subscription stands."""
    with changes.watch(ID) as changed:
        # A new subscription wakes everybody, since something may have been missed before it stood.
        assert changed.wait(DEADLINE_S)
        with changes.watch(OTHER) as other, changes.watch_owner(OWNER) as owners, changes.watch_owner("bob") as bobs:
            kept.jobs.create(ID, OWNER, submission, "r")
            assert changed.wait(DEADLINE_S)
            assert owners.wait(DEADLINE_S)
            assert (changed.newest, owners.newest) == (1, 1)
            assert not other.wait(0)
            assert not bobs.wait(0)


def test_what_was_read_before_a_gap_is_not_believed(kept: Kept, changes: Changes, submission: Submission) -> None:
    """A word that was lost while the subscription was away is made up for by a look."""
    glances = Glances(kept.jobs)
    job = kept.jobs.create(ID, OWNER, submission, "r").job
    with changes.watch(ID) as watch:
        assert watch.wait(DEADLINE_S)
        watch.tell(1)
        assert glances.at(ID, watch.newest, glances.now()).seq == 1
        kept.attempts.claim("w1")
        # Nobody heard of that, but of a new subscription.
        watch.newest = 1
        changes.wake_all()
        assert (watch.newest, job.seq) == (0, 1)
        assert glances.at(ID, watch.newest, glances.now()).seq == 2


def test_nobody_is_remembered_who_watches_no_more(changes: Changes) -> None:
    """However often somebody watched."""
    for _ in range(3):
        with changes.watch(ID):
            pass

    assert not changes._watches


def test_measures_follow_every_job(kept: Kept, submission: Submission, clock: FakeClock) -> None:
    """Open jobs by state, ended ones by code, the age of the oldest, and histograms that add up."""
    job = accepted(kept, submission)
    kept.jobs.create(OTHER, OWNER, submission, "r")
    clock.advance(7)
    before = read_measures(kept.redis, clock)
    kept.jobs.cancel(OTHER)
    kept.attempts.release(job, BrowserLost())
    after = read_measures(kept.redis, clock)

    assert (before.open[("studio", "PENDING")], before.open[("studio", "QUEUED")]) == (1, 1)
    assert (before.waiting, before.running, before.oldest_s) == (1, 1, 7.0)
    assert after.ended[("studio", "FAILED", "cancelled")] == 1
    assert (after.waiting, after.running) == (1, 0)
    assert before.pickup.buckets[-1] == ("+Inf", 1)
    counts = [count for _, count in before.pickup.buckets]
    assert counts == sorted(counts)
