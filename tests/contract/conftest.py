"""Owns the stores under test, on a real server and on fakeredis: both must behave alike."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import fakeredis
import pytest
from redis import Redis

from ops.clock import Clock
from ops.redis import connect
from ops.settings import Settings
from stores.fleet import Fleet
from stores.jobs import Jobs
from stores.quotas import Quotas
from stores.results import Results
from stores.scripts import Scripts


@dataclass(frozen=True)
class Kept:
    """The stores that need nothing but Redis."""

    redis: Redis
    jobs: Jobs
    results: Results
    fleet: Fleet
    quotas: Quotas


def kept_in(client: Redis, clock: Clock, settings: Settings) -> Kept:
    """The stores on top of a client."""
    return Kept(
        client,
        Jobs(client, Scripts(client), clock, settings),
        Results(client),
        Fleet(client, clock),
        Quotas(client, clock, settings),
    )


@pytest.fixture(params=["real", "fake"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Redis]:
    """A client of a real server, or of fakeredis."""
    redis = connect(settings.redis_url) if request.param == "real" else cast(Redis, fakeredis.FakeRedis())
    yield redis
    redis.close()


@pytest.fixture
def kept(client: Redis, clock: Clock, settings: Settings) -> Kept:
    """The stores under test."""
    return kept_in(client, clock, settings)
