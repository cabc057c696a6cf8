"""What a call costs Redis does not depend on how many callers wait."""

from collections.abc import Callable, Iterator

import pytest

from ops.infra.settings import Settings
from schemas.jobs.job import JobRequest
from stores import Stores, open_stores

FEW, MANY = 20, 200
# An index entry that has to be written or not.
TOLERANCE = 3
REQUEST = JobRequest("studio", "a boat")


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """All stores, on a real server."""
    opened = open_stores(settings)
    yield opened
    opened.close()


def submit(stores: Stores, number: int) -> str:
    """Submit a job of a caller with that number; return its id."""
    job_id = f"{number:032x}"
    stores.jobs.create(job_id, f"caller-{number}", REQUEST, "r")
    return job_id


def count_commands(stores: Stores, call: Callable[[], object]) -> int:
    """Make a call; how many commands the server ran for it."""
    client = stores.redis
    client.config_resetstat()
    call()
    stats = client.info("commandstats")
    return sum(
        int(row["calls"]) for name, row in stats.items() if not name.startswith(("cmdstat_info", "cmdstat_conf"))
    )


def cost_of_calls(stores: Stores, callers: int) -> list[int]:
    """The commands of a submission, a status, a count of claimable jobs and a claim while so many callers wait."""
    for number in range(callers):
        submit(stores, callers * 1000 + number)
    waiting = submit(stores, callers * 2000)
    attempts, jobs = stores.attempts, stores.jobs
    # Scripts are loaded by their first calls.
    stores.wakeups.count_claimable()
    jobs.get_with_estimate(waiting)
    assert attempts.claim("w")
    return [
        count_commands(stores, lambda: submit(stores, callers * 3000)),
        count_commands(stores, lambda: jobs.get_with_estimate(waiting)),
        count_commands(stores, stores.wakeups.count_claimable),
        count_commands(stores, lambda: attempts.claim("w")),
    ]


def test_calls_run_as_many_commands_with_many_callers_as_with_few(stores: Stores) -> None:
    """Submission, status, the count of claimable jobs and the claim look at no list of callers."""
    with_few, with_many = cost_of_calls(stores, FEW), cost_of_calls(stores, MANY)

    assert min(with_few) > 1
    for few, many in zip(with_few, with_many, strict=True):
        assert abs(many - few) <= TOLERANCE, (with_few, with_many)
