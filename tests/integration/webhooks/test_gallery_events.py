"""Events of the gallery, from SQL to a real HTTP receiver and to the event stream of their owner."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ops.infra.settings import Settings
from ops.processes.web_command import free_port
from schemas.errors import Unavailable
from schemas.gallery.assets import Asset
from schemas.gallery.collections import NewCollection
from schemas.gallery.tokens import MediaStatus, NewToken, TokenMedia
from stores import Stores
from stores.gallery.events import EventQueue
from stores.redis.client import open_client
from stores.webhooks.gallery_events import GalleryEventPublisher
from tests.conftest import eventually
from tests.integration.conftest import AppClient, close_app, open_app
from tests.support.webhook_receiver import run_receiver
from workers.webhooks.dispatcher import WebhookDispatcher

OWNER, OTHER = "owner", "b" * 16
TYPES = ["collection.created", "token.created", "token.media_ready"]


@pytest.fixture
def app(settings: Settings) -> Iterator[AppClient]:
    """An app that may call this machine."""
    app = open_app(replace(settings, egress_allow=("127.0.0.0/8",)))
    yield app
    close_app(app)


def make_token(stores: Stores, owner: str, name: str) -> str:
    """Create a collection with a token that has a picture; the token's id."""
    collection = stores.gallery.collections.create(owner, NewCollection(name))
    asset = Asset(f"{name:_<21}.png", f"gallery/{name}.png", "image/png", "0" * 64, 10)
    media = TokenMedia(MediaStatus.READY, sha256="0" * 64, type="image/png", width=8, height=4, asset=asset.name)
    return stores.gallery.tokens.add_from_job(owner, collection, NewToken("One"), media, [asset]).token_id


def publisher(stores: Stores, client: object = None) -> GalleryEventPublisher:
    """A publisher that takes no turns with a dispatcher."""
    parts = stores.engine, stores.subscriptions, stores.deliveries, stores.settings.public_url
    return GalleryEventPublisher(client or stores.redis, *parts)  # type: ignore[arg-type] # a client of Redis


def test_gallery_events_reach_webhooks_and_the_stream(app: AppClient) -> None:
    """Each caller gets the events of the own collections and tokens, with URLs of their pages and pictures."""
    stores = app.stores
    with run_receiver() as receiver:
        body = {"url": receiver.url("/hook"), "types": TYPES}
        assert app.post("/api/v1/webhooks", json=body).status_code == 201
        dispatcher = WebhookDispatcher(stores)
        dispatcher.start()
        try:
            token_id = make_token(stores, OWNER, "lens")
            make_token(stores, OTHER, "other")
            eventually(lambda: len(receiver.requests) == 3)
            # A delivery may arrive before the event is in the stream.
            for owner in (OWNER, OTHER):
                eventually(lambda owner=owner: len(stores.event_log.read_owner(owner, "0-0")) == 3)
        finally:
            dispatcher.stop()

    bodies = {request.json["type"]: request.json["data"] for request in receiver.requests}
    base = stores.settings.public_url
    assert bodies["collection.created"]["url"] == f"{base}/c/lens"
    assert bodies["token.created"] == {
        "tokenId": token_id,
        "collection": "lens",
        "name": "One",
        "url": f"{base}/c/lens/{token_id}",
    }
    assert bodies["token.media_ready"]["image"] == f"{base}/images/asset/{'lens':_<21}.png"
    assert (bodies["token.media_ready"]["width"], bodies["token.media_ready"]["frames"]) == (8, None)
    events = stores.event_log.read_owner(OWNER, "0-0")
    assert [event.type for _, event in events] == TYPES
    assert [event.data for _, event in events] == [bodies[name] for name in TYPES]
    assert len(stores.event_log.read_owner(OTHER, "0-0")) == 3


def test_no_gallery_event_is_lost_or_delivered_twice(app: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Redis they wait in SQL; a process that dies before it removes them repeats no delivery."""
    stores = app.stores
    stores.subscriptions.create(OWNER, "https://example.org/hook", {"types": TYPES})
    make_token(stores, OWNER, "lens")
    with pytest.raises(Unavailable):
        publisher(stores, open_client(f"redis://127.0.0.1:{free_port()}/0", retries=0)).publish()

    def die(_queue: EventQueue, _ids: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(EventQueue, "delete", die)
        with pytest.raises(Unavailable):
            publisher(stores).publish()
    assert publisher(stores).publish() == 3
    assert publisher(stores).publish() == 0
    deliveries, _ = stores.deliveries.page(OWNER, {}, None, 100)
    assert sorted(delivery.type for delivery in deliveries) == TYPES
