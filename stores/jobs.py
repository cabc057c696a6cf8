"""Owns a job's record in Redis: every change to it is one Lua script, fenced by the attempt that asks.

Called by ``api.submission`` (create, cancel), ``workers.runner`` (claim to the end) and ``workers.sweeper`` (lapse).
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from redis import Redis

from ops.clock import Clock
from ops.settings import Settings
from schemas.errors import Gone, LeaseLost, LimitReached, NotFound, ServiceError
from schemas.events import EventType
from schemas.jobs import Job, Picture, Progress, Submission
from schemas.lifecycle import JobState
from schemas.paging import Cursor
from stores.records import FIELDS, job_key, read_job, usage_key
from stores.scripts import Scripts, redis_errors

LEASE_MS = 30_000
MOST_DELIVERIES = 3
OUTBOX_GRACE_MS = 3_000
BUSY_RETRY_AFTER_S = 5
DAY_S = 86_400
Placed = tuple[Job, int | None]


class Jobs:
    """The jobs of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s
        self._deadline_s = settings.job_deadline_s
        self._limits = (settings.max_queue_size, settings.limit_queued_images, settings.limit_daily_images)

    # Submission

    def create(self, job_id: str, owner: str, submission: Submission, request_id: str) -> tuple[Job, int]:
        """Accept a job: the job as it is now, and its position in the queue (1 is next).

        Raises:
            LimitReached: the queue, or this owner's share of it, is full.
        """
        now = self._clock.now_ms()
        most, most_owned, most_daily = self._limits
        fields: dict[str, str | int] = {
            "site": submission.site,
            "prompt": submission.prompt,
            "lora": submission.lora or "",
            "inputs": json.dumps(submission.inputs),
            "requestId": request_id,
        }
        flat = _flat(fields)
        due = now + OUTBOX_GRACE_MS
        answer = self._scripts.run(
            "create", job_id, owner, now, most, most_owned, usage_key(owner, now), most_daily, due, *flat
        )
        # An id is drawn once: one that exists was created by this very call, whose first answer got lost.
        if answer[0] not in (b"created", b"exists"):
            raise self._limit(answer[0].decode(), now)
        job = Job(job_id, owner, JobState.QUEUED, submission, request_id, now, now, seq=1)
        return job, int(answer[1]) + 1

    def _limit(self, which: str, now_ms: int) -> ServiceError:
        if which == "full":
            return LimitReached("Server is busy. Please try again later.", retry_after_s=BUSY_RETRY_AFTER_S)
        if which == "queued":
            text = "You have as many unfinished jobs as LIMIT_QUEUED_IMAGES allows."
            return LimitReached(text, retry_after_s=BUSY_RETRY_AFTER_S)
        text = "You have made as many pictures today as LIMIT_DAILY_IMAGES allows."
        return LimitReached(text, retry_after_s=DAY_S - now_ms // 1000 % DAY_S)

    def has_message(self, job_id: str) -> None:
        """The job's message is in the queue: the clock need not look after it."""
        with redis_errors():
            self._redis.zrem("dr:outbox", job_id)

    def cancel(self, job_id: str) -> str:
        """Ask for the job's end: ``cancelled``, ``requested`` (it runs), ``ended`` (too late) or ``gone``."""
        return str(self._scripts.run("cancel", job_id, self._clock.now_ms(), self._ttl_s).decode())

    # Reading

    def get(self, job_id: str) -> Job:
        """The job.

        Raises:
            NotFound: it never was.
            Gone: it was, and has expired.
        """
        return self.get_with_position(job_id)[0]

    def get_with_position(self, job_id: str) -> Placed:
        """The job and, while it waits, its position in the queue (1 is next); raises as ``get`` does."""
        values = self._scripts.run("look", job_id)
        if not values:
            raise self._absent(job_id)
        before = values[len(FIELDS)]
        return read_job(job_id, values), None if before is None else before + 1

    def _absent(self, job_id: str) -> ServiceError:
        with redis_errors():
            once_was = self._redis.exists(job_key(job_id, "gone"))
        return Gone("Image expired; it is no longer kept.") if once_was else NotFound("There is no job of that id.")

    def page(self, owner: str, cursor: Cursor | None, limit: int) -> tuple[list[Placed], Cursor | None]:
        """The owner's jobs that are still kept, newest first, with their positions; and where the next page begins."""
        jobs: list[Placed] = []
        index = f"dr:jobs:{owner}"
        highest = "+inf" if cursor is None else str(cursor.time_ms)
        offset = 0
        while len(jobs) <= limit:
            with redis_errors():
                found = cast(
                    Any, self._redis.zrevrangebyscore(index, highest, "-inf", offset, 2 * limit, withscores=True)
                )
            offset += len(found)
            rows = [(ident.decode(), int(score)) for ident, score in found]
            jobs += self._present([ident for ident, score in rows if _is_after(cursor, score, ident)])
            if len(found) < 2 * limit:
                break
        kept = jobs[:limit]
        return kept, Cursor(kept[-1][0].start_time, kept[-1][0].id) if len(jobs) > limit else None

    def _present(self, ids: list[str]) -> list[Placed]:
        found = []
        for ident in ids:
            with contextlib.suppress(NotFound, Gone):
                found.append(self.get_with_position(ident))
        return found

    def failure(self, job_id: str) -> dict[str, Any] | None:
        """What was kept of the job's last failed attempt."""
        with redis_errors():
            bundle = cast(bytes | None, self._redis.get(job_key(job_id, "failure")))
        return json.loads(bundle) if bundle else None

    # One attempt

    def claim(self, job_id: str, worker: str) -> Job | None:
        """Take the job for one attempt, or None when there is nothing to do for it (now)."""
        now = self._clock.now_ms()
        answer = self._scripts.run("claim", job_id, now, LEASE_MS, worker, MOST_DELIVERIES, self._ttl_s)
        return self.get(job_id) if answer[0] == b"claimed" else None

    def renew(self, job: Job) -> bool:
        """Lengthen the attempt's lease; True if the job's end was asked for meanwhile.

        Raises:
            LeaseLost: another attempt holds the job, or it has ended.
        """
        answer = self._scripts.run("renew", job.id, self._clock.now_ms(), job.attempt, LEASE_MS)
        return _held(answer) == 2

    def accepted(self, job: Job) -> None:
        """The page has taken the prompt; raises LeaseLost as ``renew`` does."""
        _held(self._scripts.run("accept", job.id, self._clock.now_ms(), job.attempt))

    def note_progress(self, job: Job, progress: Progress) -> None:
        """The page is so far; raises LeaseLost as ``renew`` does."""
        self._note(job, EventType.PROGRESS, asdict(progress))

    def note_preview(self, job: Job, preview: bytes) -> None:
        """The page shows this picture for now (JPEG); raises LeaseLost as ``renew`` does."""
        self._note(job, EventType.PREVIEW, {"sizeBytes": len(preview)}, preview)

    def _note(self, job: Job, kind: EventType, data: Mapping[str, Any], preview: bytes = b"") -> None:
        ttl_s = self._deadline_s + self._ttl_s
        now = self._clock.now_ms()
        _held(self._scripts.run("note", job.id, now, job.attempt, kind, json.dumps(data), ttl_s, preview))

    def put(self, job: Job, picture: Picture, jpeg: bytes) -> None:
        """Keep the attempt's picture until it is completed; raises LeaseLost as ``renew`` does."""
        _held(self._scripts.run("put", job.id, job.attempt, self._deadline_s + self._ttl_s, picture.data, jpeg))

    def complete(self, job: Job, picture: Picture) -> None:
        """End the job with the picture that was put; raises LeaseLost as ``renew`` does."""
        about: dict[str, str | int] = {
            "resultType": picture.media_type,
            "resultSize": len(picture.data),
            "width": picture.width,
            "height": picture.height,
            "lossy": int(picture.lossy),
        }
        flat = _flat(about)
        now = self._clock.now_ms()
        _held(self._scripts.run("complete", job.id, now, job.attempt, self._ttl_s, json.dumps(about), *flat))

    def fail(self, job: Job, error: ServiceError, bundle: Mapping[str, Any] | None = None) -> None:
        """End the job with an honest reason; raises LeaseLost as ``renew`` does."""
        _held(self._fail(job.id, str(job.attempt), error, json.dumps(bundle) if bundle else ""))

    def retry(self, job: Job, error: ServiceError, delay_ms: int, bundle: Mapping[str, Any] | None = None) -> None:
        """Give the job back for a further attempt after ``delay_ms``; raises LeaseLost as ``renew`` does."""
        self._give_back(job, error, delay_ms, json.dumps(bundle) if bundle else "", uncounted=False)

    def release(self, job: Job, error: ServiceError) -> None:
        """Give the job back at once because this worker stops: the delivery does not count."""
        self._give_back(job, error, 0, "", uncounted=True)

    def _give_back(self, job: Job, error: ServiceError, delay_ms: int, bundle: str, *, uncounted: bool) -> None:
        now = self._clock.now_ms()
        reason = (error.code, error.message, bundle, self._ttl_s, int(uncounted))
        _held(self._scripts.run("retry", job.id, now, job.attempt, now + delay_ms, *reason))

    def _fail(self, job_id: str, attempt: str, error: ServiceError, bundle: str = "") -> Any:
        now = self._clock.now_ms()
        return self._scripts.run("fail", job_id, now, attempt, self._ttl_s, error.code, error.message, bundle)

    # Sweeps

    def due(self, limit: int = 200) -> list[str]:
        """Queued jobs that need a message now."""
        return self._ids("dr:outbox", self._clock.now_ms(), limit)

    def lapsed(self, limit: int = 200) -> list[str]:
        """Running jobs whose lease is over."""
        return self._ids("dr:leases", self._clock.now_ms(), limit)

    def running(self) -> list[str]:
        """All running jobs."""
        with redis_errors():
            return [ident.decode() for ident in cast(list[bytes], self._redis.zrange("dr:leases", 0, -1))]

    def accepted_before(self, time_ms: int, limit: int = 200) -> list[str]:
        """Unfinished jobs that were accepted before a time."""
        return self._ids("dr:open", time_ms, limit)

    def _ids(self, index: str, highest: int, limit: int) -> list[str]:
        with redis_errors():
            found = cast(list[bytes], self._redis.zrangebyscore(index, "-inf", highest, 0, limit))
        return [ident.decode() for ident in found]

    def lease_owner(self, job_id: str) -> str | None:
        """The worker that runs the job."""
        with redis_errors():
            owner = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "leaseOwner"))
        return owner.decode() if owner else None

    def lapse(self, job_id: str, dead_worker: str = "") -> bool:
        """Take the job back if its lease is over or ``dead_worker`` holds it."""
        return bool(self._scripts.run("lapse", job_id, self._clock.now_ms(), dead_worker, self._ttl_s))

    def expire(self, job_id: str, error: ServiceError) -> bool:
        """End a job that still waits."""
        return bool(self._fail(job_id, "", error))

    def is_silent(self, job_id: str, silence_ms: int) -> bool:
        """True once in ``silence_ms`` for each job, so that nobody sends a message for it again and again."""
        with redis_errors():
            return bool(self._redis.set(job_key(job_id, "resent"), b"", nx=True, px=silence_ms))

    def forget(self, job_id: str) -> None:
        """Take an id without a record out of the lists of unfinished jobs."""
        with redis_errors(), self._redis.pipeline() as pipe:
            for index in ("dr:open", "dr:outbox", "dr:leases"):
                pipe.zrem(index, job_id)
            pipe.execute()

    def trim_listing(self, before_ms: int) -> None:
        """Drop jobs accepted before a time from the listings of their owners, except unfinished ones."""
        with redis_errors():
            for index in self._redis.scan_iter(match="dr:jobs:*", count=500):
                self._redis.zremrangebyscore(index, "-inf", before_ms)


def _flat(fields: Mapping[str, str | int]) -> list[str | int]:
    return [part for pair in fields.items() for part in pair]


def _held(answer: Any) -> int:
    if not answer:
        raise LeaseLost
    return int(answer)


def _is_after(cursor: Cursor | None, time_ms: int, job_id: str) -> bool:
    return cursor is None or (time_ms, job_id) < (cursor.time_ms, cursor.id)
