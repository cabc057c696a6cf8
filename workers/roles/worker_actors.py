"""Dramatiq actors of a worker: the receiving ends of the messages in ``schemas.messages``. They only delegate."""

from dramatiq import Broker, actor

from schemas.messages import (
    ACTOR_QUEUES,
    CHECK_SITE,
    DRAW_POSTER,
    GENERATE,
    LEARN_SITE,
    READ_CHOICES,
    READ_QUOTA,
    SEARCH_LORAS,
)
from workers.gallery.posters import PosterRunner
from workers.jobs.runner import Runner
from workers.jobs.site_inspections import SiteInspector
from workers.jobs.site_queries import SiteQueryRunner


def declare_worker_actors(
    broker: Broker, runner: Runner, site_queries: SiteQueryRunner, inspector: SiteInspector, posters: PosterRunner
) -> None:
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

    @actor(broker=broker, actor_name=CHECK_SITE, queue_name=ACTOR_QUEUES[CHECK_SITE])
    async def check_site(site: str, query: str) -> None:
        await inspector.check(site, query)

    @actor(broker=broker, actor_name=LEARN_SITE, queue_name=ACTOR_QUEUES[LEARN_SITE])
    async def learn_site(site: str, url: str) -> None:
        await inspector.learn(site, url)

    @actor(broker=broker, actor_name=DRAW_POSTER, queue_name=ACTOR_QUEUES[DRAW_POSTER])
    async def draw_poster(media_key: str, nonce: str) -> None:
        await posters.draw(media_key, nonce)
