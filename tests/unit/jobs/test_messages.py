"""Names of actors and queues."""

from typing import Any, cast

from dramatiq.brokers.stub import StubBroker

from schemas.messages import ACTOR_QUEUES, BACKGROUND_QUEUES, WORKER_QUEUES
from workers.actors import declare_background_actors
from workers.roles.worker_actors import declare_worker_actors


def test_processes_declare_every_named_actor() -> None:
    """Each name has an actor on its queue, and each actor has a name."""
    broker = StubBroker(middleware=[])
    unused = cast(Any, None)
    declare_worker_actors(broker, unused, unused, unused, unused)
    worker_actors = set(broker.get_declared_actors())
    declare_background_actors(broker, unused)

    assert {name: broker.get_actor(name).queue_name for name in broker.get_declared_actors()} == ACTOR_QUEUES
    assert {ACTOR_QUEUES[name] for name in worker_actors} == WORKER_QUEUES
    assert set(ACTOR_QUEUES.values()) - WORKER_QUEUES == BACKGROUND_QUEUES
