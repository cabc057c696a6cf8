"""Dramatiq actors: the receiving ends of the messages in ``schemas.messages``. They only delegate."""

from dramatiq import Broker, actor

from schemas.gallery.pictures import KeepMode
from schemas.messages import (
    ACTOR_QUEUES,
    CHECK_SITE,
    CHECK_UPLOAD,
    CONVERT_IMAGE,
    DRAW_POSTER,
    GENERATE,
    INSPECT_IMAGE,
    KEEP_PICTURE,
    LEARN_SITE,
    READ_CHOICES,
    READ_QUOTA,
    REFRESH_TOKEN,
    SEARCH_LORAS,
)
from stores import Stores
from workers.gallery import pictures, refresh
from workers.gallery import uploads as gallery_uploads
from workers.gallery.posters import PosterRunner
from workers.images import uploads
from workers.jobs import conversions
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


def declare_background_actors(broker: Broker, stores: Stores) -> None:
    """Declare the actors of a background process, which has no browser."""

    @actor(broker=broker, actor_name=CONVERT_IMAGE, queue_name=ACTOR_QUEUES[CONVERT_IMAGE])
    def convert(job_id: str, extension: str, number: str = "1") -> None:
        conversions.convert_result(stores, job_id, extension, int(number))

    @actor(broker=broker, actor_name=INSPECT_IMAGE, queue_name=ACTOR_QUEUES[INSPECT_IMAGE])
    def inspect(key: str, kind: str = "") -> None:
        uploads.inspect_upload(stores, key, kind)

    @actor(broker=broker, actor_name=KEEP_PICTURE, queue_name=ACTOR_QUEUES[KEEP_PICTURE])
    def keep_picture(key: str, mode: str, poster_key: str) -> None:
        pictures.answer_keep(stores, key, mode, poster_key)

    @actor(broker=broker, actor_name=CHECK_UPLOAD, queue_name=ACTOR_QUEUES[CHECK_UPLOAD])
    def check_upload(nonce: str) -> None:
        gallery_uploads.check_upload(stores, nonce)

    @actor(broker=broker, actor_name=REFRESH_TOKEN, queue_name=ACTOR_QUEUES[REFRESH_TOKEN])
    def refresh_token(token_id: str, name: str, mode: str = KeepMode.EXACT) -> None:
        refresh.answer_refresh(stores, token_id, name, mode)
