"""Blocking request and reply over Redis: many callers wait for one answer that a worker computes.

Three keys per question: the answer, a mark that the question is pending, and a list on which callers block (BLPOP).
The answer is written before the list is pushed to; each woken caller pushes its element back for the next one. A
question is sent once however many callers ask it; a worker that dies leaves the pending mark to expire.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, cast

from redis import Redis
from redis.client import Pipeline

READY_TTL_S = 10
# Shorter than the socket timeout of a connection (``ops.infra.redis``).
MAX_BLOCK_S = 5.0
# Redis takes 0 as "for ever".
MIN_BLOCK_S = 0.01
ANSWERED, FAILED = b"", b"failed"


@dataclass(frozen=True, slots=True)
class ReplyKeys:
    """The Redis keys of one question."""

    answer: str
    pending: str
    ready: str

    @classmethod
    def below(cls, name: str) -> Self:
        """The keys of a question whose answer is stored under ``name``."""
        return cls(name, f"{name}:asked", f"{name}:ready")


class RequestReply:
    """Questions and answers in one Redis."""

    def __init__(self, client: Redis) -> None:
        self._redis = client

    def request(
        self,
        keys: ReplyKeys,
        send: Callable[[], None],
        *,
        timeout_s: float,
        pending_ttl_s: int,
        extend_pending: bool = False,
        is_acceptable: Callable[[bytes], bool] = lambda _: True,
    ) -> bytes | None:
        """Return an acceptable answer, calling ``send`` if there is none and the question is not pending.

        None if the worker has reported a failure, or after ``timeout_s``. ``extend_pending`` keeps the question pending
        for as long as callers ask it; without it the question is sent again ``pending_ttl_s`` after the first call.
        """
        if (answer := self._get_acceptable(keys, is_acceptable)) is not None:
            return answer
        if self._mark_pending(keys, pending_ttl_s, extend=extend_pending):
            if (answer := self._get_acceptable(keys, is_acceptable)) is not None:
                # Answered between the first look and the mark, which has deleted the list: wake the callers that
                # still block on it.
                self._wake(keys, ANSWERED)
                return answer
            send()
        return self.wait(keys, timeout_s=timeout_s, is_acceptable=is_acceptable)

    def wait(
        self, keys: ReplyKeys, *, timeout_s: float, is_acceptable: Callable[[bytes], bool] = lambda _: True
    ) -> bytes | None:
        """Block until there is an acceptable answer; None after a failure or a timeout."""
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            element = self._pop(keys, min(max(remaining_s, MIN_BLOCK_S), MAX_BLOCK_S))
            answer = self._get_acceptable(keys, is_acceptable)
            if answer is not None or element == FAILED:
                if element is not None:
                    self._push(keys, element)
                return answer
        return None

    def get(self, keys: ReplyKeys) -> bytes | None:
        """Return the stored answer."""
        return cast(bytes | None, self._redis.get(keys.answer))

    def is_pending(self, keys: ReplyKeys) -> bool:
        """Whether a caller still waits and there is no answer yet."""
        return self._redis.exists(keys.pending) == 1 and self.get(keys) is None

    def reply(self, keys: ReplyKeys, answer: bytes, *, ttl_ms: int) -> None:
        """Store an answer and wake all callers."""
        self._redis.set(keys.answer, answer, px=ttl_ms)
        self._wake(keys, ANSWERED)

    def fail(self, keys: ReplyKeys, *, pause_s: int) -> None:
        """Wake all callers without an answer; the question is not sent again for ``pause_s``."""
        self._wake(keys, FAILED, pause_s)

    def _get_acceptable(self, keys: ReplyKeys, is_acceptable: Callable[[bytes], bool]) -> bytes | None:
        answer = self.get(keys)
        return answer if answer is not None and is_acceptable(answer) else None

    def _mark_pending(self, keys: ReplyKeys, ttl_s: int, *, extend: bool) -> bool:
        """Whether the question was not pending; the list of an earlier answer is deleted then."""
        is_first = bool(self._redis.set(keys.pending, b"", nx=True, ex=ttl_s))
        if is_first:
            self._redis.delete(keys.ready)
        elif extend:
            self._redis.expire(keys.pending, ttl_s, gt=True)
        return is_first

    def _wake(self, keys: ReplyKeys, element: bytes, pause_s: int = 0) -> None:
        with self._redis.pipeline() as pipe:
            _push(pipe, keys.ready, element)
            pipe.expire(keys.pending, pause_s)
            pipe.execute()

    def _pop(self, keys: ReplyKeys, timeout_s: float) -> bytes | None:
        popped = cast(tuple[bytes, bytes] | None, self._redis.blpop([keys.ready], timeout=timeout_s))
        return popped[1] if popped else None

    def _push(self, keys: ReplyKeys, element: bytes) -> None:
        with self._redis.pipeline() as pipe:
            _push(pipe, keys.ready, element)
            pipe.execute()


def _push(pipe: Pipeline, ready: str, element: bytes) -> None:
    pipe.rpush(ready, element)
    pipe.expire(ready, READY_TTL_S)
