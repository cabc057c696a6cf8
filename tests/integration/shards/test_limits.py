"""Limits that hold over several Redis servers together."""

import itertools

import pytest

from schemas.errors import LimitReached, Unavailable
from tests.conftest import eventually
from tests.integration.shards.conftest import MAX_QUEUE_SIZE, Installation


def claim_all(installation: Installation, number: int) -> list[str]:
    """Claim from a server until it has nothing to start; return the jobs' ids."""
    claimed = []
    while job := installation.of(number).attempts.claim(f"w{number}"):
        claimed.append(job.id)
    return claimed


def test_jobs_of_all_servers_are_claimed(installation: Installation) -> None:
    """A site without limits starts jobs on each server at once."""
    ids = [installation.create(number) for number in (0, 1)]

    assert [claim_all(installation, number) for number in (0, 1)] == [[ids[0]], [ids[1]]]


@pytest.mark.parametrize(("site", "limit"), [("single", 1), ("triple", 3)])
def test_a_site_runs_no_more_jobs_than_its_limit(installation: Installation, site: str, limit: int) -> None:
    """However the servers' jobs begin and end, never more run; and each server's jobs have their turn."""
    for _ in range(6):
        for number in (0, 1):
            installation.create(number, site)
    started = {0: 0, 1: 0}
    for _ in range(60):
        installation.divide(1)
        for number in (0, 1):
            stores = installation.of(number)
            while stores.attempts.claim("w"):
                started[number] += 1
                assert installation.running(site) <= limit
        # The oldest running job of each server ends.
        for number in (0, 1):
            stores = installation.of(number)
            for job_id in stores.maintenance.list_running()[:1]:
                token = stores.redis.hget(f"dr:{{{job_id}}}:job", "claimToken")
                stores.jobs.cancel(job_id)
                stores.maintenance.requeue_expired(job_id, "w")
                assert token
        if started == {0: 6, 1: 6}:
            break

    assert started == {0: 6, 1: 6}


def test_the_queue_holds_no_more_jobs_than_allowed(installation: Installation) -> None:
    """One server's callers may use nearly all of it, if the others' do not; together they never have more."""
    created = {0: 0, 1: 0}

    def fill(number: int) -> None:
        for _ in range(3 * MAX_QUEUE_SIZE):
            try:
                installation.create(number)
                created[number] += 1
            except LimitReached:
                if not installation.allotter.divide():
                    break
                if created[number] >= MAX_QUEUE_SIZE - 2:
                    break
            assert sum(int(installation.of(each).redis.zcard("dr:open")) for each in (0, 1)) <= MAX_QUEUE_SIZE

    fill(0)
    fill(1)

    assert created[0] > 0.8 * MAX_QUEUE_SIZE
    assert sum(created.values()) <= MAX_QUEUE_SIZE


def test_an_interval_holds_over_all_servers(installation: Installation) -> None:
    """No job of the site starts within the interval after one on another server."""
    for number in (0, 1):
        for _ in range(3):
            installation.create(number, "slow")
    starts: list[int] = []

    def step() -> bool:
        installation.divide(1)
        for number in (0, 1):
            stores = installation.of(number)
            if job := stores.attempts.claim("w"):
                starts.append(job.started_at or 0)
        return len(starts) == 4

    eventually(step)

    assert all(later - earlier >= 495 for earlier, later in itertools.pairwise(starts)), starts


def test_a_daily_limit_holds_over_all_servers(installation: Installation) -> None:
    """The server that has the turn knows what the others have started."""
    for number in (0, 1):
        for _ in range(3):
            installation.create(number, "rare")
    started = 0
    for _ in range(20):
        installation.divide(1)
        started += sum(len(claim_all(installation, number)) for number in (0, 1))

    assert started == 3


def test_a_circuit_that_opens_opens_everywhere(installation: Installation) -> None:
    """And it closes everywhere; a pause is one everywhere too."""
    breakers = [installation.of(number).circuit_breakers for number in (0, 1)]
    now_ms = installation.stores.clock.now_ms()
    breakers[0].open_as("free", {"openedAt": str(now_ms), "retryAt": str(now_ms + 60_000), "delay": "30000"})

    installation.divide(1)
    assert breakers[1].read(["free"])["free"].is_open
    breakers[1].close("free")
    installation.divide(1)
    assert not breakers[0].read(["free"])["free"].is_open
    breakers[1].pause("free", 60_000)
    installation.divide(2)
    assert breakers[0].remaining_pause_ms("free") > 50_000


def test_a_pause_is_written_once_on_each_server(installation: Installation) -> None:
    """The worker's own server has to take it; another one that is down learns of it later."""
    breakers = installation.stores.servers.members[1].circuit_breakers
    scripts = [installation.of(number).redis for number in (0, 1)]
    breakers.pause("free", 1)
    before = [client.info("commandstats")["cmdstat_evalsha"]["calls"] for client in scripts]

    breakers.pause("free", 60_000)
    after = [client.info("commandstats")["cmdstat_evalsha"]["calls"] for client in scripts]
    assert after == [calls + 1 for calls in before]
    installation.processes[0].kill()
    breakers.pause("free", 60_000)
    installation.processes[1].kill()
    with pytest.raises(Unavailable):
        breakers.pause("free", 60_000)


def test_a_circuit_stays_open_when_a_server_comes_back(installation: Installation) -> None:
    """One that did not know of it opens it; only a server on which it was open can close it."""
    breakers = [installation.of(number).circuit_breakers for number in (0, 1)]
    now_ms = installation.stores.clock.now_ms()
    breakers[0].open_as("free", {"openedAt": str(now_ms), "retryAt": str(now_ms + 60_000), "delay": "30000"})
    installation.divide(2)
    installation.processes[1].kill()
    installation.divide(1)
    installation.processes[1].start()
    installation.of(1).redis.delete("dr:site:free")

    eventually(lambda: installation.allotter.divide() and breakers[1].read(["free"])["free"].is_open)
    assert breakers[0].read(["free"])["free"].is_open
