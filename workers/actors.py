"""Dramatiq actors of a background process: the receiving ends of its messages. They only delegate."""

from dramatiq import Broker, actor

from schemas.gallery.pictures import KeepMode
from schemas.messages import (
    ACTOR_QUEUES,
    CHECK_UPLOAD,
    CONVERT_IMAGE,
    INSPECT_IMAGE,
    KEEP_PICTURE,
    REFRESH_TOKEN,
)
from stores import Stores
from workers.gallery import pictures, refresh
from workers.gallery import uploads as gallery_uploads
from workers.images import uploads
from workers.jobs import conversions


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
