"""The sending of messages: builds them by name and gives them to the broker."""

from typing import Any

from dramatiq import Message
from redis import Redis

from ops.infra.broker import BlockingRedisBroker
from ops.infra.redis import disconnect
from schemas.messages import ACTOR_QUEUES, GENERATE_QUEUE
from stores.redis.errors import redis_errors


class Queue:
    """The sending side of the broker."""

    def __init__(self, broker: BlockingRedisBroker) -> None:
        """Declares nothing: the receivers do."""
        self._broker = broker

    def send(self, actor: str, *args: str) -> None:
        """Put a message for ``actor`` on its queue.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._send(Message(ACTOR_QUEUES[actor], actor, args, {}, {}))

    def _send(self, message: Message[Any]) -> None:
        with redis_errors():
            self._broker.enqueue(message)

    def close(self) -> None:
        """Let go of the broker's connections."""
        disconnect(self._broker.client)

    @property
    def client(self) -> Redis:
        """The connection to the queue's database, for those who test what harms it."""
        return self._broker.client

    @property
    def wakeups_key(self) -> str:
        """The key of the tickets that wait."""
        return self._broker.queue_key(GENERATE_QUEUE)

    def depth(self) -> int:
        """How many tickets wait in the queue."""
        with redis_errors():
            return self._broker.queue_length(GENERATE_QUEUE)
