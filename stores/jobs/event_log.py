"""The reading of jobs' logs: of one job by its numbers, of all jobs of an owner in the order of their happening.

Written by the scripts of ``stores.jobs.jobs`` and ``stores.jobs.attempts``.
"""

from typing import Any, cast

from redis import Redis

from schemas.jobs.events import Event, EventType
from schemas.jobs.job import Job
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import decode_event
from stores.redis.keys import job_key
from stores.redis.single_flight import SingleFlight

BATCH_SIZE = 500
STREAM_START = "0-0"


class EventLog:
    """The logs of one Redis."""

    def __init__(self, client: Redis) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._shared: SingleFlight[tuple[str, int], list[Event]] = SingleFlight()

    def read_job(self, job: Job, after: int, known_seq: int = 0) -> list[Event]:
        """The job's events with numbers above ``after``, in order, at most READ_AT_ONCE.

        Who was told that the number ``newest`` exists may get what somebody else has just read: many watch one job.
        """
        return self._shared.do(
            (job.id, after), lambda: self._read(job, after), lambda known: _reaches(known, known_seq)
        )

    def _read(self, job: Job, after: int) -> list[Event]:
        with redis_errors():
            rows = cast(Any, self._redis.xrange(job_key(job.id, "events"), f"({after}-0", count=BATCH_SIZE))
        events = [decode_event(job.id, int(ident.partition(b"-")[0]), fields) for ident, fields in rows]
        # A job that only waits has no log yet.
        first = Event(job.id, 1, EventType.QUEUED, job.start_time, {})
        return events if after >= 1 or (events and events[0].seq == 1) else [first, *events]

    def read_owner(self, owner: str, after: str) -> list[tuple[str, Event]]:
        """The owner's events after a place in the feed, each with its own place, at most READ_AT_ONCE."""
        with redis_errors():
            rows = cast(Any, self._redis.xrange(_feed(owner), f"({after}", count=BATCH_SIZE))
        return [
            (ident.decode(), decode_event(fields[b"job"].decode(), int(fields[b"seq"]), fields))
            for ident, fields in rows
        ]

    def newest_stream_id(self, owner: str) -> str:
        """The place of the owner's newest event."""
        return self._edge(self._redis.xrevrange, owner)

    def oldest_stream_id(self, owner: str) -> str:
        """The place of the owner's oldest event that is still kept."""
        return self._edge(self._redis.xrange, owner)

    def _edge(self, read: Any, owner: str) -> str:
        with redis_errors():
            rows = read(_feed(owner), count=1)
        return rows[0][0].decode() if rows else STREAM_START


def _reaches(events: list[Event], newest: int) -> bool:
    return bool(newest and events) and events[-1].seq >= newest


def _feed(owner: str) -> str:
    return f"dr:feed:{owner}"
