"""The actors that processes declare are the names that messages carry."""

from typing import Any, cast

from dramatiq.brokers.stub import StubBroker

from schemas.messages import ACTOR_QUEUES, BACKGROUND_QUEUES, WORKER_QUEUES
from workers.actors import declare_background_actors, declare_worker_actors


def test_declared_actors_are_the_named_ones() -> None:
    """Each name has a receiver on its queue, and no receiver is without a name."""
    broker = StubBroker(middleware=[])
    nobody = cast(Any, None)
    declare_worker_actors(broker, nobody, nobody)
    worker_actors = set(broker.get_declared_actors())
    declare_background_actors(broker, nobody)

    assert {name: broker.get_actor(name).queue_name for name in broker.get_declared_actors()} == ACTOR_QUEUES
    assert {ACTOR_QUEUES[name] for name in worker_actors} == WORKER_QUEUES
    assert set(ACTOR_QUEUES.values()) - WORKER_QUEUES == BACKGROUND_QUEUES
