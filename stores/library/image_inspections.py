"""What is asked of an uploaded picture while somebody waits: a question, its answer, and the wait between."""

import json
import math
import time
from typing import cast

from redis import Redis
from redis.client import Pipeline

from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from schemas.images.inspected_image import StoredImage
from schemas.messages import INSPECT_IMAGE
from stores.queue.messages import Queue
from stores.redis.scripts import redis_errors

RESULT_TTL_S = 600
# What may be different the next time is soon forgotten.
FAILURE_TTL_S = 10
# Shorter than a connection waits for any answer.
MAX_BLOCK_S = 5.0
RETRY_AFTER_S = 5
ERRORS: dict[str, type[ServiceError]] = {kind.code: kind for kind in (Invalid, NotFound, Unavailable)}


class ImageInspections:
    """Questions about uploads, by their keys in the media store, answered by couriers."""

    def __init__(self, client: Redis, queue: Queue) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._queue = queue

    def inspect(self, key: str, timeout_s: float) -> StoredImage:
        """What a courier has found out about the upload; asked twice, it looks once.

        Raises:
            Invalid: it is no picture that is taken; ``details["reason"]`` says why in a word.
            NotFound: there is no such upload (any more).
            Unavailable: no courier has answered in time, or it could not reach the media store.
        """
        name = _name(key)
        deadline = time.monotonic() + timeout_s
        if self._answer(name) is None and self._is_first(name, timeout_s):
            if self._answer(name) is None:
                self._queue.send(INSPECT_IMAGE, key)
            else:
                # It was answered between our look and our turn to ask: others may still wait for the mark we wiped.
                self._wake(name)
        while (answer := self._answer(name)) is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise Unavailable("Nobody has looked at the picture in time.", retry_after_s=RETRY_AFTER_S)
            self._wait(name, min(left_s, MAX_BLOCK_S))
        return _opened(answer)

    def is_requested(self, key: str) -> bool:
        """Whether somebody still waits for the answer, and there is none yet."""
        with redis_errors():
            return self._redis.exists(f"{_name(key)}:asked") == 1 and self._answer(_name(key)) is None

    def answer(self, key: str, result: StoredImage | ServiceError) -> None:
        """Keep an answer and wake everybody who waits for it."""
        name = _name(key)
        kept = {"examined": result.to_json()} if isinstance(result, StoredImage) else _closed(result)
        kept_s = FAILURE_TTL_S if isinstance(result, Unavailable) else RESULT_TTL_S
        with redis_errors():
            self._redis.set(name, json.dumps(kept), ex=kept_s)
        self._wake(name)

    def _wake(self, name: str) -> None:
        """Nobody asks any more, for there is an answer."""
        with redis_errors(), self._redis.pipeline() as pipe:
            pipe.delete(f"{name}:asked")
            _mark_ready(pipe, name)
            pipe.execute()

    def _is_first(self, name: str, patience_s: float) -> bool:
        """Whether nobody else waits; the question stands for as long as one waits."""
        stands_s = math.ceil(patience_s) + 1
        with redis_errors():
            first = bool(self._redis.set(f"{name}:asked", b"", nx=True, ex=stands_s))
            if first:
                # Of an answer that is forgotten by now.
                self._redis.delete(f"{name}:ready")
            else:
                self._redis.expire(f"{name}:asked", stands_s, gt=True)
        return first

    def _wait(self, name: str, seconds: float) -> None:
        with redis_errors(), self._redis.pipeline() as pipe:
            if self._redis.blpop([f"{name}:ready"], timeout=seconds) is not None:
                # The mark is for everybody: each puts it back for the next.
                _mark_ready(pipe, name)
                pipe.execute()

    def _answer(self, name: str) -> bytes | None:
        with redis_errors():
            return cast(bytes | None, self._redis.get(name))


def _mark_ready(pipe: Pipeline, name: str) -> None:
    pipe.rpush(f"{name}:ready", b"")
    pipe.expire(f"{name}:ready", FAILURE_TTL_S)


def _closed(error: ServiceError) -> dict[str, object]:
    return {"error": error.code, "message": error.message, "details": error.details}


def _opened(kept: bytes) -> StoredImage:
    answer = json.loads(kept)
    if "examined" in answer:
        return StoredImage.from_json(answer["examined"])
    raise ERRORS.get(answer["error"], ServiceError)(answer["message"], **answer["details"])


def _name(key: str) -> str:
    return f"dr:examination:{key}"
