"""Live questions to a site's page (LoRA search, quota, choices), answered by a worker and cached."""

import json
from typing import Any

from redis import Redis

from ops.infra.clock import Clock
from stores.queue.messages import Queue
from stores.redis.keys import site_query_key
from stores.redis.request_reply import ReplyKeys, RequestReply

RETENTION_S = 86_400
PENDING_TTL_S = 20
FAILURE_TTL_S = 10


class SiteQueries:
    """Questions and their cached answers in one Redis."""

    def __init__(self, client: Redis, queue: Queue, clock: Clock) -> None:
        self._request_reply = RequestReply(client)
        self._queue = queue
        self._clock = clock

    def ask(self, actor: str, site: str, query: str, *, max_age_s: int, timeout_s: float) -> tuple[Any, bool]:
        """Return an answer and whether it is at most ``max_age_s`` old.

        A stale answer, or None if there is none, is returned when no worker answers within ``timeout_s``; with a
        timeout of 0 none is asked.
        """
        keys = _keys(actor, site, query)

        def is_fresh(record: bytes) -> bool:
            return self._clock.now_ms() - int(json.loads(record)["at"]) < max_age_s * 1000

        stored = self._request_reply.get(keys)
        if (stored is None or not is_fresh(stored)) and timeout_s > 0:
            fresh = self._request_reply.request(
                keys,
                lambda: self._queue.send(actor, site, query),
                timeout_s=timeout_s,
                pending_ttl_s=PENDING_TTL_S,
                is_acceptable=is_fresh,
            )
            stored = fresh or stored
        return (json.loads(stored)["value"], is_fresh(stored)) if stored else (None, False)

    def store_answer(self, actor: str, site: str, query: str, value: Any) -> None:
        """Cache an answer and wake the callers that wait for it."""
        record = json.dumps({"at": self._clock.now_ms(), "value": value})
        self._request_reply.reply(_keys(actor, site, query), record.encode(), ttl_ms=RETENTION_S * 1000)

    def report_failure(self, actor: str, site: str, query: str) -> None:
        """Wake the callers without an answer; the site is not asked again for FAILURE_TTL_S."""
        self._request_reply.fail(_keys(actor, site, query), pause_s=FAILURE_TTL_S)


def _keys(actor: str, site: str, query: str) -> ReplyKeys:
    return ReplyKeys.below(site_query_key(actor, site, query))
