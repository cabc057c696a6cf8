"""Dramatiq actors: the receiving ends of the messages in ``schemas.messages``. They only delegate."""

from dramatiq import Broker, actor

from schemas.messages import (
    ACTOR_QUEUES,
    CONVERT_IMAGE,
    GENERATE,
    INSPECT_IMAGE,
    READ_CHOICES,
    READ_QUOTA,
    SEARCH_LORAS,
)
from stores import Stores
from workers.images import uploads
from workers.jobs import conversions
from workers.jobs.runner import Runner
from workers.jobs.site_queries import SiteQueryRunner


def declare_worker_actors(broker: Broker, runner: Runner, site_queries: SiteQueryRunner) -> None:
    """Declare the actors of a worker process, which has a browser."""

    @actor(broker=broker, actor_name=GENERATE, queue_name=ACTOR_QUEUES[GENERATE])
    async def generate() -> None:
        await runner.run()

    @actor(broker=broker, actor_name=SEARCH_LORAS, queue_name=ACTOR_QUEUES[SEARCH_LORAS])
    async def search_loras(site: str, query: str) -> None:
        await site_queries.search_loras(site, query)

    @actor(broker=broker, actor_name=READ_QUOTA, queue_name=ACTOR_QUEUES[READ_QUOTA])
    async def read_quota(site: str, query: str) -> None:
        await site_queries.read_quota(site, query)

    @actor(broker=broker, actor_name=READ_CHOICES, queue_name=ACTOR_QUEUES[READ_CHOICES])
    async def read_choices(site: str, input_name: str) -> None:
        await site_queries.read_choices(site, input_name)


def declare_background_actors(broker: Broker, stores: Stores) -> None:
    """Declare the actors of a background process, which has no browser."""

    @actor(broker=broker, actor_name=CONVERT_IMAGE, queue_name=ACTOR_QUEUES[CONVERT_IMAGE])
    def convert(job_id: str, extension: str) -> None:
        conversions.convert_result(stores, job_id, extension)

    @actor(broker=broker, actor_name=INSPECT_IMAGE, queue_name=ACTOR_QUEUES[INSPECT_IMAGE])
    def inspect(key: str) -> None:
        uploads.inspect_upload(stores, key)
