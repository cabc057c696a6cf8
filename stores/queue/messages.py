"""Sending of queue messages by actor name."""

from dramatiq import Message
from redis import Redis

from ops.infra.broker import BlockingRedisBroker
from ops.infra.redis import disconnect
from schemas.messages import ACTOR_QUEUES, GENERATE_QUEUE
from stores.redis.errors import redis_errors


class Queue:
    """The sending side of the broker; actors are declared by the workers."""

    def __init__(self, broker: BlockingRedisBroker) -> None:
        self._broker = broker

    def send(self, actor: str, *args: str) -> None:
        """Enqueue a message for ``actor``.

        Raises:
            Unavailable: Redis does not answer.
        """
        with redis_errors("BROKER_URL"):
            self._broker.enqueue(Message(ACTOR_QUEUES[actor], actor, args, {}, {}))

    def ticket(self, actor: str) -> dict[str, str | int]:
        """Return a message for ``actor`` as ``create.lua`` enqueues it."""
        return self._broker.ticket(Message(ACTOR_QUEUES[actor], actor, (), {}, {}))

    def close(self) -> None:
        """Close the broker's connections."""
        disconnect(self._broker.client)

    @property
    def client(self) -> Redis:
        """The connection to the queue's database, for tests and fault injection."""
        return self._broker.client

    @property
    def wakeups_key(self) -> str:
        """The Redis key of the waiting wakeups."""
        return self._broker.queue_key(GENERATE_QUEUE)

    def depth(self) -> int:
        """Return the number of waiting wakeups."""
        with redis_errors("BROKER_URL"):
            return self._broker.queue_length(GENERATE_QUEUE)
