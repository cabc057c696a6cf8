"""Receivers that answer in every way that can harm: each is called beside a good one."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from unittest import mock

import aiohttp
import pytest

from ops.infra.settings import Settings
from ops.testbed.hostile_receivers import HTTP_RECEIVERS, TLS_RECEIVERS, run_hostile_receivers
from schemas.http.address_policy import AddressPolicy
from schemas.webhooks.retry_policy import AttemptOutcome
from schemas.webhooks.subscriptions import Delivery, DeliveryState, NewDelivery
from stores import Stores
from tests.conftest import eventually
from tests.integration.conftest import close_app, open_app
from tests.support.webhook_receiver import run_receiver
from workers.webhooks import client
from workers.webhooks.client import WebhookClient
from workers.webhooks.destinations import MAX_CONCURRENT
from workers.webhooks.dispatcher import WebhookDispatcher
from workers.webhooks.response_limits import MAX_HEAD_BYTES, MAX_INTERIM_RESPONSES

OWNER = "owner"
TOTAL_TIMEOUT_S, CONNECT_TIMEOUT_S = 3.0, 2.0
DELIVERIES = MAX_CONCURRENT + 4
EARLY_CLOSE = "The connection was closed before the response was complete."
INVALID = "The response is not valid HTTP."
NO_ANSWER = "No answer within 15 s (5 s for the connection)."
TOO_MANY_INTERIM = f"The response has more than {MAX_INTERIM_RESPONSES} interim responses (1xx)."
TOO_LONG_HEAD = f"The response has no status and headers within its first {MAX_HEAD_BYTES:,} bytes."
# The status or the error of an attempt, by the behaviour of the receiver; several if it depends on what arrives first.
OUTCOMES: dict[str, int | str | tuple[str, ...]] = {
    "says_nothing": NO_ANSWER,
    "closes_without_an_answer": EARLY_CLOSE,
    "resets_the_connection": "The connection broke: Connection reset by peer.",
    "half_closes_within_the_head": EARLY_CLOSE,
    "sends_junk": INVALID,
    "speaks_before_the_request": ("The connection broke: no reason was given.", TOO_MANY_INTERIM),
    "slow_status": NO_ANSWER,
    "endless_status_line": INVALID,
    "endless_blank_lines": TOO_LONG_HEAD,
    "endless_header": INVALID,
    "endless_headers": INVALID,
    "slow_headers": NO_ANSWER,
    "endless_continue": TOO_MANY_INTERIM,
    "endless_early_hints": TOO_MANY_INTERIM,
    "slow_processing": TOO_MANY_INTERIM,
    "switches_protocols": 101,
    "endless_body": 200,
    "endless_body_without_length": 200,
    "slow_body": NO_ANSWER,
    "body_that_stops": NO_ANSWER,
    "endless_chunks_of_one_byte": 200,
    "endless_chunk_extension": 200,
    "endless_chunk_size": 200,
    "endless_trailers": INVALID,
    "compressed_bomb": 200,
    "redirects_to_itself": 307,
    "endless_responses": 204,
    "tls_silence": NO_ANSWER,
    "tls_slow_handshake": NO_ANSWER,
    "tls_junk": "The TLS connection failed.",
}


@pytest.fixture(scope="module")
def hostile_urls() -> Iterator[dict[str, str]]:
    """The URLs of all hostile receivers by name."""
    with run_hostile_receivers() as urls:
        yield urls


class ImpatientClient(WebhookClient):
    """Lets the calls of one URL end sooner than in production; the others have their time on a busy machine."""

    def __init__(self, policy: AddressPolicy, url: str) -> None:
        super().__init__(policy)
        self._url = url
        timeout = aiohttp.ClientTimeout(total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S)
        with mock.patch.object(client, "TIMEOUT", timeout):
            self._impatient = WebhookClient(policy)

    async def close(self) -> None:
        """Close all connections."""
        await self._impatient.close()
        await super().close()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> AttemptOutcome:
        if url == self._url:
            return await self._impatient._post(url, headers, body)
        return await super()._post(url, headers, body)


@pytest.fixture
def stores(settings: Settings) -> Iterator[Stores]:
    """Stores of an app that may call this machine."""
    app = open_app(replace(settings, egress_allow=("127.0.0.0/8",)))
    yield app.stores
    close_app(app)


def add_deliveries(stores: Stores, kind: str, url: str) -> None:
    """Add deliveries to a URL."""
    new = [NewDelivery(f"msg_{kind}{number}", OWNER, url, "job.completed", "{}") for number in range(DELIVERIES)]
    stores.deliveries.add(new)
    stores.outbox.wake_dispatchers()


def attempted(stores: Stores, kind: str) -> list[Delivery]:
    """Return the deliveries of a kind that have been attempted."""
    deliveries, _ = stores.deliveries.page(OWNER, {}, None, 100)
    return [delivery for delivery in deliveries if delivery.id.startswith(f"msg_{kind}") and delivery.tries]


def test_every_hostile_receiver_has_an_outcome() -> None:
    """None is left out."""
    assert OUTCOMES.keys() == HTTP_RECEIVERS.keys() | TLS_RECEIVERS.keys()
    assert len(OUTCOMES) >= 26


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_hostile_receiver_does_not_affect_a_good_one(stores: Stores, hostile_urls: dict[str, str], name: str) -> None:
    """Its attempts end with a plain outcome, and the good receiver gets everything with the first attempt."""
    # Of the others, one that is slow to answer on a busy machine would have another outcome.
    impatient_url = hostile_urls[name] if OUTCOMES[name] == NO_ANSWER else ""
    dispatcher = WebhookDispatcher(stores, lambda: ImpatientClient(stores.address_policy, impatient_url))
    with run_receiver() as good:
        dispatcher.start()
        try:
            add_deliveries(stores, "hostile", hostile_urls[name])
            add_deliveries(stores, "good", good.url())
            done = eventually(lambda: found if len(found := attempted(stores, "good")) == DELIVERIES else None)
            hostile = eventually(lambda: attempted(stores, "hostile"))[0]
        finally:
            dispatcher.stop()
    assert {(delivery.state, delivery.tries) for delivery in done} == {(DeliveryState.DELIVERED, 1)}
    assert len(good.requests) == DELIVERIES
    attempt = stores.deliveries.list_attempts(hostile.id)[0]
    expected = OUTCOMES[name]
    assert (attempt.error or attempt.status) in (expected if isinstance(expected, tuple) else (expected,))
