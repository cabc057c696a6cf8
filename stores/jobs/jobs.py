"""A job's record in Redis: its acceptance, its cancellation and every way of reading it."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import UNLIMITED, CallerLimits
from schemas.errors import Gone, IdempotencyMismatch, LimitReached, NotFound, ServiceError
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import Job, JobRequest, QueueEstimate
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor
from stores.accounts.quota_windows import compute_reset_times
from stores.accounts.quotas import default_limits
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import JOB_FIELDS, decode_estimate, decode_job
from stores.redis.keys import daily_usage_key, job_key, weekly_usage_key
from stores.redis.scripts import Scripts

BUSY_RETRY_AFTER_S = 5
NO_LIMITS = CallerLimits()
LIMIT_MESSAGES = {
    "full": "Server is busy. Please try again later.",
    "queued": "You have as many unfinished jobs as your key allows (LIMIT_QUEUED_IMAGES).",
    "daily": "You have made as many pictures today as your key allows (LIMIT_DAILY_IMAGES).",
    "weekly": "You have made as many pictures this week as your key allows (LIMIT_WEEKLY_IMAGES).",
}
JobWithEstimate = tuple[Job, QueueEstimate]


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """A job that was accepted, now or, if ``replayed``, by an earlier request with the same idempotency key."""

    job: Job
    estimate: QueueEstimate
    replayed: bool = False


class Jobs:
    """The jobs of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s
        self._most = settings.max_queue_size
        self._usual = default_limits(settings)

    # Submission

    def create(
        self,
        job_id: str,
        owner: str,
        submission: JobRequest,
        request_id: str,
        idempotency: Idempotency | None = None,
        *,
        limits: CallerLimits = NO_LIMITS,
    ) -> AcceptedJob:
        """Accept a job, or find the one that the same request has made before; ``limits`` are the owner's own.

        Raises:
            LimitReached: the queue, or this owner's share of it, is full, or the owner has had enough pictures.
            IdempotencyMismatch: the key came with another request before.
            Gone: the key's job has expired.
        """
        now = self._clock.now_ms()
        own = limits.with_defaults(self._usual)
        key = f"dr:idem:{owner}:{idempotency.key}" if idempotency else ""
        digest = idempotency.digest if idempotency else ""
        fields = [part for pair in _record(submission, request_id).items() for part in pair]
        # An id is drawn once: one that exists was created by this very call, whose first answer got lost.
        bounds = (*self._bounds(owner, own, now), _number(own.concurrent))
        answer = self._scripts.run("create", job_id, owner, now, key, digest, *bounds, *fields)
        outcome = answer[0].decode()
        if outcome == "created":
            job = Job(job_id, owner, JobState.QUEUED, submission, request_id, now, now, seq=1, queued_at=now)
            return AcceptedJob(job, decode_estimate(answer[1:]))
        if outcome == "mismatch":
            raise IdempotencyMismatch
        if outcome == "replayed":
            return AcceptedJob(*self.get_with_estimate(answer[1].decode()), replayed=True)
        raise self._limit_error(outcome, own, now)

    def dry_run(
        self, owner: str, site: str, priority: int, limits: CallerLimits = NO_LIMITS
    ) -> tuple[LimitReached | None, int]:
        """What would become of a job that was submitted now: the limit that forbids it, and its position."""
        now = self._clock.now_ms()
        own = limits.with_defaults(self._usual)
        bounds = self._bounds(owner, own, now)
        limit, ahead = self._scripts.run("rehearse", site, owner, now, priority, *bounds)
        return self._limit_error(limit.decode(), own, now) if limit else None, int(ahead) + 1

    def _bounds(self, owner: str, own: CallerLimits, now: int) -> tuple[str | int, ...]:
        """What the scripts' ``limit_reached`` takes."""
        daily, weekly = (
            (daily_usage_key(owner, now), _number(own.daily)),
            (weekly_usage_key(owner, now), _number(own.weekly)),
        )
        return (self._most, _number(own.queued), *daily, *weekly)

    def _limit_error(self, which: str, own: CallerLimits, now_ms: int) -> LimitReached:
        """The limit that was reached, with how much it allows."""
        most = {"full": self._most, "queued": own.queued, "daily": own.daily, "weekly": own.weekly}[which]
        return LimitReached(LIMIT_MESSAGES[which], retry_after_s=_wait_s(which, now_ms), policy=which, limit=most)

    def cancel(self, job_id: str) -> str:
        """Ask for the job's end: ``cancelled``, ``requested`` (it runs), ``ended`` (too late) or ``gone``."""
        return str(self._scripts.run("cancel", job_id, self._clock.now_ms(), self._ttl_s).decode())

    def cancel_all(self, owner: str) -> dict[str, int]:
        """Ask for the end of all the owner's unfinished jobs: how many were ``cancelled``, how many ``requested``."""
        with redis_errors():
            ids = cast(list[bytes], self._redis.zrange(f"dr:open:{owner}", 0, -1))
        outcomes = [self.cancel(ident.decode()) for ident in ids]
        return {outcome: outcomes.count(outcome) for outcome in ("cancelled", "requested")}

    # Reading

    def get(self, job_id: str) -> Job:
        """The job.

        Raises:
            NotFound: it never was.
            Gone: it was, and has expired.
        """
        return self.get_with_estimate(job_id)[0]

    def get_with_estimate(self, job_id: str) -> JobWithEstimate:
        """The job and what it has before it; raises as ``get`` does."""
        values = self._scripts.run("look", job_id)
        if not values:
            raise self._absent(job_id)
        rest = values[len(JOB_FIELDS) :]
        return decode_job(job_id, values), decode_estimate(rest) if rest else QueueEstimate()

    def _absent(self, job_id: str) -> ServiceError:
        with redis_errors():
            once_was = self._redis.exists(job_key(job_id, "gone"))
        return Gone("Image expired; it is no longer kept.") if once_was else NotFound("There is no job of that id.")

    def list_page(self, owner: str, cursor: Cursor | None, limit: int) -> tuple[list[JobWithEstimate], Cursor | None]:
        """The owner's jobs that are still kept, newest first; and where the next page begins."""
        jobs: list[JobWithEstimate] = []
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

    def _present(self, ids: list[str]) -> list[JobWithEstimate]:
        found = []
        for ident in ids:
            with contextlib.suppress(NotFound, Gone):
                found.append(self.get_with_estimate(ident))
        return found

    def get_failure_report(self, job_id: str) -> dict[str, Any] | None:
        """What was kept of the job's last failed attempt."""
        with redis_errors():
            bundle = cast(bytes | None, self._redis.get(job_key(job_id, "failure")))
        return json.loads(bundle) if bundle else None


def _number(limit: int | None) -> int:
    return UNLIMITED if limit is None else limit


def _wait_s(which: str, now_ms: int) -> int:
    """Rounded up, so that whoever waits that long finds the new day or week begun."""
    reset_ms = compute_reset_times(now_ms).get(which.upper())
    return BUSY_RETRY_AFTER_S if reset_ms is None else -((now_ms - reset_ms) // 1000)


def _record(submission: JobRequest, request_id: str) -> dict[str, str | int]:
    return {
        "site": submission.site,
        "prompt": submission.prompt,
        "lora": submission.lora or "",
        "inputs": json.dumps(submission.inputs),
        "priority": submission.priority,
        "requestId": request_id,
        **({"webhook": submission.webhook} if submission.webhook else {}),
    }


def _is_after(cursor: Cursor | None, time_ms: int, job_id: str) -> bool:
    return cursor is None or (time_ms, job_id) < (cursor.time_ms, cursor.id)
