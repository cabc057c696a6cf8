"""What becomes of the shared limits when a Redis server, or the process that divides them, is lost."""

import contextlib

import pytest
from structlog.testing import capture_logs

from schemas.errors import LimitReached
from stores.redis.keys import ALLOTTER
from stores.shards.allotments import Allotter
from tests.conftest import eventually
from tests.integration.shards.conftest import MAX_QUEUE_SIZE, Installation
from tests.integration.shards.test_limits import claim_all


@pytest.fixture
def seconds() -> list[float]:
    """The steady time of the allotter under test."""
    return [0.0]


@pytest.fixture
def allotter(installation: Installation, seconds: list[float]) -> Allotter:
    """An allotter with a settable time, in place of the first one."""
    installation.allotter.close()
    servers = installation.stores.servers.of_each([each.plain for each in installation.stores.servers.members])
    return Allotter(servers, installation.stores.settings, monotonic=lambda: seconds[0])


def test_the_others_get_a_site_when_no_job_of_the_lost_server_can_run(
    installation: Installation, allotter: Allotter, seconds: list[float]
) -> None:
    """Not before: a page that takes one job at a time would get two."""
    first, second = installation.of(0), installation.of(1)
    ids = [installation.create(number, "single") for number in (0, 1)]
    eventually(lambda: allotter.divide() and (job := first.attempts.claim("w")) and job.id == ids[0])
    installation.processes[0].kill()
    # Its part lasts for 45 s, a job of it for a second (JOB_DEADLINE_S) more, with a margin of 5 s.
    for seconds[0] in (1.0, 10.0, 50.0):
        assert allotter.divide()
        assert second.attempts.claim("w") is None
    seconds[0] = 52.0
    assert allotter.divide()
    job = second.attempts.claim("w")

    assert job
    assert job.id == ids[1]
    installation.processes[0].start()
    assert allotter.divide()
    assert first.attempts.claim("w") is None


def test_sites_go_on_when_the_clock_is_restarted_in_an_outage(installation: Installation, seconds: list[float]) -> None:
    """The servers that answer keep what they have, and no more than that is left; the log names sites that wait."""
    for number, site in ((0, "single"), (0, "triple"), *[(1, "triple")] * 3):
        installation.create(number, site)
    installation.divide()
    assert len(claim_all(installation, 0)) == 2
    installation.processes[0].kill()
    installation.allotter.close()
    servers = installation.stores.servers.of_each([each.plain for each in installation.stores.servers.members])
    with capture_logs() as lines:
        restarted = Allotter(servers, installation.stores.settings, monotonic=lambda: seconds[0])
        for seconds[0] in (0.0, 1.0, 2.0, 30.0):
            assert restarted.divide()

    assert len(claim_all(installation, 1)) == 2
    [waiting] = [line["sites"] for line in lines if line["event"] == "allotments.sites_wait"]
    assert "single" in waiting
    assert "triple" not in waiting
    restarted.close()


def test_a_lost_server_keeps_its_part_of_the_queue(installation: Installation, allotter: Allotter) -> None:
    """Its jobs are unfinished still, so the others' callers do not get its room."""
    for _ in range(5):
        installation.create(0)
    assert allotter.divide()
    room = int(installation.of(0).redis.get("dr:room") or 0)
    installation.processes[0].kill()
    created = 0
    with contextlib.suppress(LimitReached):
        while created <= MAX_QUEUE_SIZE:
            installation.create(1)
            created += 1
            assert allotter.divide()

    assert 0 < created <= MAX_QUEUE_SIZE - room


def test_one_process_divides_at_a_time(installation: Installation, allotter: Allotter) -> None:
    """Another one does so once it has the locks, and the first one notices it."""
    servers = installation.stores.servers.of_each([each.plain for each in installation.stores.servers.members])
    other = Allotter(servers, installation.stores.settings)
    assert allotter.divide()
    assert not other.divide()
    for client in servers.clients:
        client.delete(ALLOTTER)
    eventually(other.divide)

    assert not allotter.divide()
    assert servers.clients[0].get(ALLOTTER) == servers.clients[1].get(ALLOTTER)
    allotter.close()
    other.close()


def test_without_a_lease_nothing_is_divided(installation: Installation) -> None:
    """The lease is in SQL, so that two clocks that reach different servers do not both divide."""
    servers = installation.stores.servers.of_each([each.plain for each in installation.stores.servers.members])
    installation.allotter.close()
    held = [False]
    allotter = Allotter(servers, installation.stores.settings, acquire=lambda: held[0])

    assert not allotter.divide()
    with capture_logs() as lines:
        for is_held in (True, False, True):
            held[0] = is_held
            assert allotter.divide() is is_held
    # With the lease it begins anew: another process may have changed everything since.
    assert [line["event"] for line in lines] == ["allotments.divided_here"] * 2
    allotter.close()
