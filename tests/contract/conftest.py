"""The stores under test, on a real Redis server and on fakeredis: both must behave alike."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import pytest
from redis import Redis
from sqlalchemy import Engine

from ops.infra.broker import BlockingRedisBroker
from ops.infra.clock import Clock
from ops.infra.database import open_database
from ops.infra.settings import Settings
from schemas.errors import QueueWaitExceeded
from schemas.jobs.job import GeneratedImage, Job, JobRequest
from schemas.sites.recipe import Recipe
from stores.accounts.quotas import Quotas
from stores.images.stored_results import StoredResults
from stores.jobs.attempts import Attempts
from stores.jobs.job_ids import JobIds
from stores.jobs.jobs import Jobs
from stores.jobs.maintenance import Maintenance
from stores.jobs.results import Results
from stores.jobs.wakeups import Wakeups
from stores.media import Media
from stores.queue.messages import Queue
from stores.queue.worker_heartbeats import WorkerRegistry
from stores.redis.client import StoreClient, open_client
from stores.redis.scripts import Scripts
from stores.sites.circuit_breakers import CircuitBreakers
from stores.sites.recipes import Recipes
from stores.sites.scheduling_rules import SchedulingRules
from stores.sql import tables
from tests.conftest import migrate_twice

JOB_ID, OTHER_JOB_ID = "a" * 32, "b" * 32
OWNER = "owner"


class ExtendedRecipes(Recipes):
    """The shipped recipes and further ones of a test."""

    def __init__(self, recipes: tuple[Recipe, ...]) -> None:
        super().__init__("studio")
        self._recipes |= {recipe.name: recipe for recipe in recipes}


@dataclass(frozen=True)
class RedisStores:
    """The stores that need only Redis."""

    redis: Redis
    jobs: Jobs
    attempts: Attempts
    wakeups: Wakeups
    maintenance: Maintenance
    circuit_breakers: CircuitBreakers
    results: Results
    stored_results: StoredResults
    workers: WorkerRegistry
    quotas: Quotas


def build_stores(
    client: Redis, clock: Clock, settings: Settings, *, extra_recipes: tuple[Recipe, ...] = ()
) -> RedisStores:
    """Create the stores on one client, with the shipped recipes and ``extra_recipes``."""
    scripts = Scripts(client, test_clock=clock)
    jobs = Jobs(client, scripts, clock, settings, JobIds("secret", clock))
    rules = SchedulingRules(scripts, ExtendedRecipes(extra_recipes))
    stored = StoredResults.from_settings(settings, client, Media.from_settings(settings), clock)
    queue = Queue(BlockingRedisBroker(settings.broker_url, []))
    return RedisStores(
        client,
        jobs,
        Attempts(client, scripts, settings, rules, stored),
        Wakeups(rules, queue),
        Maintenance(client, scripts, clock, settings),
        CircuitBreakers(client, scripts),
        Results(client, stored),
        stored,
        WorkerRegistry(client, scripts),
        Quotas(client, scripts, clock, settings),
    )


@pytest.fixture(params=["real", "fake"])
def client(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Redis]:
    """A client of a real server, or of fakeredis."""
    if request.param == "real":
        redis = open_client(settings.redis_url)
    else:
        redis = StoreClient(connection_pool=fakeredis.FakeRedis().connection_pool)
    yield redis
    redis.close()


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with migrated tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "empty.sqlite3"
    migrate_twice(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database with migrated tables."""
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql")
    else:
        copy = shutil.copyfile(request.getfixturevalue("sqlite"), tmp_path / "test.sqlite3")
        url = f"sqlite:///{copy}"
    engine = open_database(url)
    with engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
    yield engine
    engine.dispose()


@pytest.fixture
def stores(client: Redis, clock: Clock, settings: Settings) -> RedisStores:
    """The stores under test."""
    return build_stores(client, clock, settings)


def create_accepted_job(stores: RedisStores, job_request: JobRequest, job_id: str = JOB_ID) -> Job:
    """Create a job whose prompt the page has accepted."""
    stores.jobs.create(job_id, OWNER, job_request, "r1")
    job = stores.attempts.claim("w1")
    assert job is not None
    stores.attempts.mark_accepted(job)
    return job


def sweep(stores: RedisStores, *, leases: bool = False, heartbeats: bool = False) -> list[str]:
    """Sweep once, and return the jobs that were taken back."""
    checks = {"leases": leases, "heartbeats": heartbeats}
    return stores.maintenance.sweep(**checks, max_wait_s=3600, error=QueueWaitExceeded()).taken_back


def create_completed_job(
    stores: RedisStores, job_request: JobRequest, image: GeneratedImage, job_id: str = JOB_ID
) -> Job:
    """Create a job that has its image."""
    job = create_accepted_job(stores, job_request, job_id)
    keys = stores.attempts.store_images(job, [image], b"jpeg bytes")
    stores.attempts.complete(job, [image], keys)
    return stores.jobs.get(job_id)
