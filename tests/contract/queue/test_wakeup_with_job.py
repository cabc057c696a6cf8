"""A job and its wakeup are written together if the queue is on the same server."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.infra.broker import BlockingRedisBroker
from ops.infra.settings import Settings
from schemas.accounts.caller import CallerLimits
from schemas.errors import LimitReached
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import JobRequest
from schemas.messages import GENERATE, GENERATE_QUEUE
from stores import Stores, open_stores
from tests.contract.conftest import JOB_ID, OTHER_JOB_ID, OWNER


@pytest.fixture
def opened(settings: Settings) -> Iterator[Stores]:
    """All stores, on a real server."""
    stores = open_stores(settings)
    yield stores
    stores.close()


def test_a_worker_receives_the_wakeup(opened: Stores, settings: Settings, job_request: JobRequest) -> None:
    """It is the message that the broker itself would have sent, and it rings the bell."""
    accepted = opened.jobs.create(JOB_ID, OWNER, job_request, "r", ticket=opened.wakeups.ticket())
    opened.wakeups.publish()
    broker = BlockingRedisBroker(settings.broker_url, [])
    broker.declare_queue(GENERATE_QUEUE)
    consumer = broker.consume(GENERATE_QUEUE, prefetch=2)

    assert accepted.has_wakeup
    assert opened.queue.client.llen(f"bell:{GENERATE_QUEUE}") == 2
    with_job, alone = next(consumer), next(consumer)
    assert with_job is not None
    assert alone is not None
    fields = with_job.asdict()
    assert (fields["actor_name"], fields["args"], set(fields)) == (GENERATE, (), set(alone.asdict()))
    consumer.ack(with_job)
    consumer.ack(alone)
    assert not opened.queue.client.hlen(f"{broker.queue_key(GENERATE_QUEUE)}.msgs")


def test_only_a_new_job_sends_its_wakeup(opened: Stores, job_request: JobRequest) -> None:
    """A repeated submission and a refused one send none."""
    idempotency = Idempotency.for_request("k", job_request)
    opened.jobs.create(JOB_ID, OWNER, job_request, "r", idempotency, ticket=opened.wakeups.ticket())
    again = opened.jobs.create(OTHER_JOB_ID, OWNER, job_request, "r", idempotency, ticket=opened.wakeups.ticket())
    with pytest.raises(LimitReached):
        opened.jobs.create(
            OTHER_JOB_ID, OWNER, job_request, "r", limits=CallerLimits(queued=1), ticket=opened.wakeups.ticket()
        )

    assert (again.replayed, again.job.id) == (True, JOB_ID)
    assert opened.queue.depth() == 1
    # The connection still uses the database of the jobs.
    assert opened.jobs.get(JOB_ID).id == JOB_ID


def test_without_the_queue_s_database_the_wakeup_is_left_to_the_caller(opened: Stores, job_request: JobRequest) -> None:
    """The job is accepted all the same."""
    ticket = {**(opened.wakeups.ticket() or {}), "database": 999}

    assert not opened.jobs.create(JOB_ID, OWNER, job_request, "r", ticket=ticket).has_wakeup
    assert opened.jobs.get(JOB_ID).id == JOB_ID


def test_a_queue_on_another_server_gets_no_ticket(settings: Settings) -> None:
    """Its wakeups are sent on a connection of their own."""
    stores = open_stores(replace(settings, broker_url="redis://127.0.0.1:1/0"))

    assert stores.wakeups.ticket() is None
    stores.close()
