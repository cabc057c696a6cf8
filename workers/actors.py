"""The receivers of messages, one a name of ``schemas.messages``, without any logic of their own."""

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
    """The actors of a process with a browser."""

    @actor(broker=broker, actor_name=GENERATE, queue_name=ACTOR_QUEUES[GENERATE])
    async def generate() -> None:
        await runner.run()

    @actor(broker=broker, actor_name=SEARCH_LORAS, queue_name=ACTOR_QUEUES[SEARCH_LORAS])
    async def search_loras(site: str, words: str) -> None:
        await site_queries.search_loras(site, words)

    @actor(broker=broker, actor_name=READ_QUOTA, queue_name=ACTOR_QUEUES[READ_QUOTA])
    async def read_quota(site: str, words: str) -> None:
        await site_queries.read_quota(site, words)

    @actor(broker=broker, actor_name=READ_CHOICES, queue_name=ACTOR_QUEUES[READ_CHOICES])
    async def read_choices(site: str, words: str) -> None:
        await site_queries.read_choices(site, words)


def declare_background_actors(broker: Broker, stores: Stores) -> None:
    """The actors of a process without a browser."""

    @actor(broker=broker, actor_name=CONVERT_IMAGE, queue_name=ACTOR_QUEUES[CONVERT_IMAGE])
    def convert(job_id: str, form: str) -> None:
        conversions.convert_result(stores, job_id, form)

    @actor(broker=broker, actor_name=INSPECT_IMAGE, queue_name=ACTOR_QUEUES[INSPECT_IMAGE])
    def examine(key: str) -> None:
        uploads.inspect_upload(stores, key)
