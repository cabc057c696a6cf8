"""Request and reply over Redis: one message for all callers, and lists that expire."""

import threading

import pytest
from redis import Redis

from stores.redis.request_reply import READY_TTL_S, ReplyKeys, RequestReply
from tests.conftest import eventually

KEYS = ReplyKeys.below("dr:test")


@pytest.fixture
def request_reply(client: Redis) -> RequestReply:
    """The requests under test."""
    return RequestReply(client)


def test_the_list_of_waiting_callers_expires(request_reply: RequestReply, client: Redis) -> None:
    """It expires also after a caller has popped its element and pushed it back."""
    waiting = threading.Thread(target=lambda: request_reply.wait(KEYS, timeout_s=60))
    waiting.start()
    request_reply.reply(KEYS, b"answer", ttl_ms=60_000)
    waiting.join()

    assert request_reply.wait(KEYS, timeout_s=60) == b"answer"
    assert 0 < client.ttl(KEYS.ready) <= READY_TTL_S


def test_a_failure_ends_the_wait_and_pauses_the_question(request_reply: RequestReply) -> None:
    """Callers that come within the pause get no answer and send no message."""
    sent: list[int] = []

    def request() -> bytes | None:
        return request_reply.request(KEYS, lambda: sent.append(1), timeout_s=60, pending_ttl_s=20)

    waiting = threading.Thread(target=request)
    waiting.start()
    eventually(lambda: sent)
    request_reply.fail(KEYS, pause_s=10)
    waiting.join()

    assert request() is None
    assert len(sent) == 1


def test_an_element_without_an_answer_is_not_pushed_back(request_reply: RequestReply, client: Redis) -> None:
    """It remains from an expired answer, and would wake every later caller without need."""
    client.rpush(KEYS.ready, b"")

    assert request_reply.wait(KEYS, timeout_s=0.05) is None
    assert not client.exists(KEYS.ready)
