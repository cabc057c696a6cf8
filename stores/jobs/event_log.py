"""Reading of events: of one job by sequence number, of all jobs of an owner by stream id.

The Lua scripts write both: the job's stream has gapless sequence numbers, the owner's feed is in order of happening.
"""

from collections.abc import Callable
from typing import Any, cast

from redis import Redis

from schemas.jobs.events import Event, EventType
from schemas.jobs.job import Job
from stores.redis.job_decoding import decode_event
from stores.redis.keys import job_key, owner_feed_key
from stores.redis.single_flight import SingleFlight

BATCH_SIZE = 500
# Before the first entry of any stream.
STREAM_START = "0-0"
StreamEntries = list[tuple[bytes, dict[bytes, bytes]]]


class EventLog:
    """The events in one Redis."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._single_flight: SingleFlight[tuple[str, int], list[Event]] = SingleFlight()

    def read_job(self, job: Job, after: int, known_seq: int = 0) -> list[Event]:
        """Return the job's events with numbers above ``after``, in order, at most BATCH_SIZE.

        A caller that knows of event ``known_seq`` may get a batch that another caller has just read, if it contains
        that event.
        """
        return self._single_flight.do(
            (job.id, after),
            lambda: self._read_job(job, after),
            lambda events: bool(known_seq and events) and events[-1].seq >= known_seq,
        )

    def _read_job(self, job: Job, after: int) -> list[Event]:
        entries = cast(StreamEntries, self._redis.xrange(job_key(job.id, "events"), f"({after}-0", count=BATCH_SIZE))
        events = [decode_event(job.id, int(entry_id.partition(b"-")[0]), fields) for entry_id, fields in entries]
        # A job that only waits has no stream yet: its first event is written together with the second.
        first = Event(job.id, 1, EventType.QUEUED, job.start_time, {})
        return events if after >= 1 or (events and events[0].seq == 1) else [first, *events]

    def read_owner(self, owner: str, after: str) -> list[tuple[str, Event]]:
        """Return the owner's events after a stream id, each with its stream id, at most BATCH_SIZE."""
        entries = cast(StreamEntries, self._redis.xrange(owner_feed_key(owner), f"({after}", count=BATCH_SIZE))
        return [
            (entry_id.decode(), decode_event(fields[b"job"].decode(), int(fields[b"seq"]), fields))
            for entry_id, fields in entries
        ]

    def newest_stream_id(self, owner: str) -> str:
        """Return the stream id of the owner's newest event."""
        return _first_id(self._redis.xrevrange, owner)

    def oldest_stream_id(self, owner: str) -> str:
        """Return the stream id of the owner's oldest event that is still stored."""
        return _first_id(self._redis.xrange, owner)


def _first_id(read: Callable[..., Any], owner: str) -> str:
    entries = read(owner_feed_key(owner), count=1)
    return entries[0][0].decode() if entries else STREAM_START
