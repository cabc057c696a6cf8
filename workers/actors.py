"""The receivers of messages, one a name of ``schemas.messages``, without any logic of their own."""

from dramatiq import Broker, actor

from schemas.messages import CONVERT, EXAMINE, GENERATE, QUEUE_OF_ACTOR, READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from stores import Stores
from workers.images import uploads
from workers.jobs import conversions
from workers.jobs.runner import Runner
from workers.jobs.site_queries import Lookups


def declare_worker_actors(broker: Broker, runner: Runner, lookups: Lookups) -> None:
    """The actors of a process with a browser."""

    @actor(broker=broker, actor_name=GENERATE, queue_name=QUEUE_OF_ACTOR[GENERATE])
    async def generate() -> None:
        await runner.run()

    @actor(broker=broker, actor_name=SEARCH_LORAS, queue_name=QUEUE_OF_ACTOR[SEARCH_LORAS])
    async def search_loras(site: str, words: str) -> None:
        await lookups.search_loras(site, words)

    @actor(broker=broker, actor_name=READ_QUOTA, queue_name=QUEUE_OF_ACTOR[READ_QUOTA])
    async def read_quota(site: str, words: str) -> None:
        await lookups.read_quota(site, words)

    @actor(broker=broker, actor_name=READ_CHOICES, queue_name=QUEUE_OF_ACTOR[READ_CHOICES])
    async def read_choices(site: str, words: str) -> None:
        await lookups.read_choices(site, words)


def declare_courier_actors(broker: Broker, stores: Stores) -> None:
    """The actors of a process without a browser."""

    @actor(broker=broker, actor_name=CONVERT, queue_name=QUEUE_OF_ACTOR[CONVERT])
    def convert(job_id: str, form: str) -> None:
        conversions.convert_result(stores, job_id, form)

    @actor(broker=broker, actor_name=EXAMINE, queue_name=QUEUE_OF_ACTOR[EXAMINE])
    def examine(key: str) -> None:
        uploads.examine(stores, key)
