"""Owns the sending of messages: builds them by name and gives them to the broker.

Called by ``api.submission``, by the API's lookups and by ``workers.sweeper``; the receivers are in ``workers.actors``.
"""

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
        self.send(GENERATE, job_id)

    def send(self, actor: str, *args: str) -> None:
        """Put a message for ``actor`` on its queue.

        Raises:
            Unavailable: Redis does not answer.
        """
        message: Message[Any] = Message(
            queue_name=QUEUE_OF_ACTOR[actor], actor_name=actor, args=args, kwargs={}, options={}
        )
        try:
            self._broker.enqueue(message)
        except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.OutOfMemoryError) as error:
            raise Unavailable("The queue does not answer.", retry_after_s=RETRY_AFTER_S) from error

    def close(self) -> None:
        """Let go of the broker's connections."""
        self._broker.client.close()

    def depth(self) -> int:
        """How many messages for jobs wait in the queue."""
        try:
            return self._broker.waiting(GENERATE_QUEUE)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise Unavailable("The queue does not answer.", retry_after_s=RETRY_AFTER_S) from error
