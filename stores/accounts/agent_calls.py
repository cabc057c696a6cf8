"""Which job a call of an agent has submitted, so that a client can cancel the call without knowing the job.

The cancellation may arrive at another process, and before the submission.
"""

import hashlib
import json
from typing import cast

from redis import Redis

from stores.redis.keys import agent_call_key

CALL_TTL_S = 86_400
# For a cancellation that overtakes its call.
EARLY_CANCEL_TTL_S = 60
CANCELLED = b"cancelled"


class AgentCalls:
    """The calls in one Redis: ``session`` is an id that the client has chosen or got, ``request_id`` JSON-RPC's."""

    def __init__(self, client: Redis) -> None:
        self._redis = client

    def remember(self, owner: str, session: str, request_id: str | int, job_id: str) -> bool:
        """Remember the job of a call; True if the call has been cancelled already."""
        key = _key(owner, session, request_id)
        return self._redis.set(key, job_id, ex=CALL_TTL_S, get=True) == CANCELLED

    def cancel(self, owner: str, session: str, request_id: str | int) -> str | None:
        """Note that a call is cancelled, and return its job's id; None if it has none yet."""
        key = _key(owner, session, request_id)
        known = cast(bytes | None, self._redis.set(key, CANCELLED, ex=EARLY_CANCEL_TTL_S, get=True))
        return None if known in (None, CANCELLED) else known.decode()

    def forget(self, owner: str, session: str, request_id: str | int) -> None:
        """Forget a call that has been answered: its client may use the id again."""
        self._redis.delete(_key(owner, session, request_id))


def _key(owner: str, session: str, request_id: str | int) -> str:
    # 1 and "1" are different ids.
    call = json.dumps([session, request_id])
    return agent_call_key(owner, hashlib.sha256(call.encode()).hexdigest())
