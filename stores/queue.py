"""Owns the sending of messages: builds them by name and gives them to the broker.

Called by ``api.submission``, by the API's lookups and by ``workers.sweeper``; the receivers are in ``workers.actors``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from dramatiq import Message

from ops.broker import DoorbellBroker
from schemas.errors import Unavailable
from schemas.messages import GENERATE, GENERATE_QUEUE, QUEUE_OF_ACTOR
from stores.scripts import RETRY_AFTER_S


class Queue:
    """The sending side of the broker."""

    def __init__(self, broker: DoorbellBroker) -> None:
        """Declares nothing: the receivers do."""
        self._broker = broker

    def generate(self, job_id: str) -> None:
        """Offer a job to the workers."""
        self._send(Message(GENERATE_QUEUE, GENERATE, (job_id,), {}, {}, message_id=job_id))

    def offers(self, job_id: str) -> bool:
        """Whether a message for the job waits, or is in the hands of a worker."""
        with _queue_errors():
            return self._broker.holds(GENERATE_QUEUE, job_id)

    def send(self, actor: str, *args: str) -> None:
        """Put a message for ``actor`` on its queue.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._send(Message(QUEUE_OF_ACTOR[actor], actor, args, {}, {}))

    def _send(self, message: Message[Any]) -> None:
        with _queue_errors():
            self._broker.enqueue(message)

    def close(self) -> None:
        """Let go of the broker's connections."""
        self._broker.client.close()

    def depth(self) -> int:
        """How many messages for jobs wait in the queue."""
        with _queue_errors():
            return self._broker.waiting(GENERATE_QUEUE)


@contextmanager
def _queue_errors() -> Iterator[None]:
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as error:
        raise Unavailable("The queue does not answer.", retry_after_s=RETRY_AFTER_S) from error
