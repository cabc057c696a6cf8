"""The records of jobs: creation, cancellation and reading."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from ops.processes.tracing import current_traceparent
from schemas.accounts.caller import UNLIMITED, CallerLimits
from schemas.errors import Gone, IdempotencyMismatch, LimitReached, NotFound, ServiceError, Unavailable
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import Job, JobRequest, QueueEstimate
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor
from stores.accounts.quota_windows import compute_reset_times
from stores.accounts.quotas import default_limits
from stores.jobs.attempts import list_retention_s
from stores.jobs.job_ids import JobIds
from stores.redis.job_decoding import JOB_FIELDS, decode_estimate, decode_job
from stores.redis.keys import (
    daily_usage_key,
    idempotency_key,
    job_key,
    owner_jobs_key,
    owner_open_jobs_key,
    weekly_usage_key,
)
from stores.redis.scripts import Scripts

BUSY_RETRY_AFTER_S = 5
JOB_ID_LENGTH = 32
NO_LIMITS = CallerLimits()
# The same for jobs of other callers, so that they cannot be told from missing ones.
NO_SUCH_JOB = "There is no job with this id."
EXPIRED = "Image expired; it is no longer kept."
LIMIT_MESSAGES = {
    "full": "Server is busy. Please try again later.",
    "queued": "You have as many unfinished jobs as your key allows (LIMIT_QUEUED_IMAGES).",
    "daily": "You have made as many pictures today as your key allows (LIMIT_DAILY_IMAGES).",
    "weekly": "You have made as many pictures this week as your key allows (LIMIT_WEEKLY_IMAGES).",
}
JobWithEstimate = tuple[Job, QueueEstimate]


@dataclass(frozen=True, slots=True)
class AcceptedJob:
    """A job that was accepted: now, or (``replayed``) by an earlier request with the same idempotency key.

    ``has_wakeup`` if the wakeup for it was sent with it.
    """

    job: Job
    estimate: QueueEstimate
    replayed: bool = False
    has_wakeup: bool = False


class Jobs:
    """The jobs of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings, ids: JobIds) -> None:
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ids = ids
        self._ttl_s = settings.result_ttl_s
        self._retention_ms = list_retention_s(settings) * 1000
        self._max_queue_size = settings.max_queue_size
        self._shared_limits = {"shared": 1} if len(settings.redis_servers) > 1 else {}
        self._default_limits = default_limits(settings)

    # JobRequest

    def create_id(self) -> str:
        """Return an id for a new job."""
        return self._ids.create()

    def create(
        self,
        job_id: str,
        owner: str,
        request: JobRequest,
        request_id: str,
        idempotency: Idempotency | None = None,
        *,
        limits: CallerLimits = NO_LIMITS,
        room: int = 1,
        ticket: Mapping[str, str | int] | None = None,
    ) -> AcceptedJob:
        """Accept a job, or return the one that the same request created before.

        ``limits`` are those of the owner's key; where it has none, those of the settings hold. They must have room
        for ``room`` jobs: this one, and those of the same request that are created next. ``ticket`` is a wakeup
        (``Wakeups.ticket``) that is sent if the job is new.

        Raises:
            LimitReached: the queue is full, or the owner has reached a limit, or would with the jobs of the request.
            IdempotencyMismatch: the idempotency key was used for a different request.
            Gone: the job of the idempotency key has expired.
        """
        now = self._clock.now_ms()
        effective = limits.with_defaults(self._default_limits)
        answer = self._scripts.run(
            "create",
            {
                "id": job_id,
                "owner": owner,
                "site": request.site,
                "priority": request.priority,
                "retention_ms": self._retention_ms,
                "limits": self._limit_arguments(owner, effective, now),
                "room": room,
                "max_running": _number(effective.concurrent),
                "idempotency_key": idempotency_key(owner, idempotency.key) if idempotency else None,
                "digest": idempotency.digest if idempotency else None,
                "ticket": ticket,
            },
            *_encode_request(request, request_id),
        )
        outcome = answer[0].decode()
        if outcome == "created":
            start = int(answer[1])
            job = Job(job_id, owner, JobState.QUEUED, request, request_id, start, start, seq=1, queued_at=start)
            return AcceptedJob(job, decode_estimate(answer[3:]), has_wakeup=bool(answer[2]))
        if outcome == "mismatch":
            raise IdempotencyMismatch
        if outcome == "replayed":
            return self._get_earlier(answer[1].decode())
        raise self._limit_error(outcome, effective, now)

    def find_earlier(self, owner: str, idempotency: Idempotency) -> AcceptedJob | None:
        """Return the job that the same request has created before, if any; raises as ``create`` does for the key."""
        value = cast(bytes | None, self._redis.get(idempotency_key(owner, idempotency.key)))
        if value is None:
            return None
        job_id, digest = value[:JOB_ID_LENGTH].decode(), value[JOB_ID_LENGTH:].decode()
        if digest != idempotency.digest:
            raise IdempotencyMismatch
        return self._get_earlier(job_id)

    def _get_earlier(self, job_id: str) -> AcceptedJob:
        try:
            return AcceptedJob(*self.get_with_estimate(job_id), replayed=True)
        except NotFound as error:
            raise Gone(EXPIRED) from error

    def dry_run(
        self, owner: str, site: str, priority: int, limits: CallerLimits = NO_LIMITS, *, room: int = 1
    ) -> tuple[LimitReached | None, int]:
        """Return the limit that would forbid a job submitted now, and the job's position; nothing is written.

        ``room`` is as in ``create``. The position is about right, as ``QueueEstimate`` says.
        """
        now = self._clock.now_ms()
        effective = limits.with_defaults(self._default_limits)
        arguments = {"site": site, "owner": owner, "priority": priority, "room": room}
        limit, ahead, _ = self._scripts.run(
            "dry_run", {**arguments, "limits": self._limit_arguments(owner, effective, now)}
        )
        return self._limit_error(limit.decode(), effective, now) if limit else None, int(ahead) + 1

    def _limit_arguments(self, owner: str, limits: CallerLimits, now_ms: int) -> dict[str, str | int]:
        """What ``limit_reached`` in ``reading.lua`` takes; limits that do not exist are left out."""
        numbers = {
            "owner_open": _number(limits.queued),
            "daily": _number(limits.daily),
            "weekly": _number(limits.weekly),
        }
        return {
            "open": self._max_queue_size,
            **self._shared_limits,
            "day_key": daily_usage_key(owner, now_ms),
            "week_key": weekly_usage_key(owner, now_ms),
            **{name: number for name, number in numbers.items() if number is not None},
        }

    def _limit_error(self, policy: str, limits: CallerLimits, now_ms: int) -> LimitReached:
        values = {"full": self._max_queue_size, "queued": limits.queued, "daily": limits.daily, "weekly": limits.weekly}
        retry_after_s = _seconds_until_reset(policy, now_ms)
        return LimitReached(LIMIT_MESSAGES[policy], retry_after_s=retry_after_s, policy=policy, limit=values[policy])

    def cancel(self, job_id: str) -> str:
        """Cancel a job: ``cancelled``, ``requested`` (it is running), ``ended`` (too late) or ``gone``."""
        return str(self._scripts.run("cancel", {"id": job_id, "ttl_s": self._ttl_s}).decode())

    def withdraw(self, job: Job, key: str | None) -> None:
        """Cancel a job whose request is refused, and release the idempotency key that its request has used for it."""
        name = idempotency_key(job.owner, key) if key else None
        self._scripts.run("cancel", {"id": job.id, "ttl_s": self._ttl_s, "idempotency_key": name})

    def cancel_all(self, owner: str) -> dict[str, int]:
        """Cancel all unfinished jobs of an owner; return how many were ``cancelled`` and how many ``requested``."""
        ids = cast(list[bytes], self._redis.zrange(owner_open_jobs_key(owner), 0, -1))
        outcomes = [self.cancel(job_id.decode()) for job_id in ids]
        return {outcome: outcomes.count(outcome) for outcome in ("cancelled", "requested")}

    # Reading

    def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            NotFound: there has never been such a job.
            Gone: the job has expired.
        """
        return self.get_with_estimate(job_id)[0]

    def get_with_estimate(self, job_id: str) -> JobWithEstimate:
        """Return a job and its queue estimate (an empty one if the job has ended); raises as ``get``."""
        values = self._scripts.run("read", {"id": job_id})
        if not values:
            raise self._missing_error(job_id)
        return _decode(job_id, values)

    def get_existing(self, ids: Sequence[str]) -> list[JobWithEstimate]:
        """Return those of the jobs that there are, in this order, in one round trip.

        Their estimates say only whether the circuit of their site is open: the rest costs more than the job itself.
        """
        answers = self._scripts.run_many("read", [{"id": job_id, "brief": True} for job_id in ids])
        return [_decode(job_id, values) for job_id, values in zip(ids, answers, strict=True) if values]

    def _missing_error(self, job_id: str) -> ServiceError:
        # Jobs of versions with random ids have left a key for a week.
        if self._ids.is_issued(job_id) or self._redis.exists(job_key(job_id, "gone")):
            return Gone(EXPIRED)
        return NotFound(NO_SUCH_JOB)

    def list_page(self, owner: str, cursor: Cursor | None, limit: int) -> tuple[list[JobWithEstimate], Cursor | None]:
        """Return a page of the owner's jobs, newest first, and the cursor of the next page (keyset pagination)."""
        jobs: list[JobWithEstimate] = []
        max_score = "+inf" if cursor is None else str(cursor.time_ms)
        offset = 0
        # Expired jobs stay in the index for a while, so a page may take several reads.
        while len(jobs) <= limit:
            rows = cast(
                list[tuple[bytes, float]],
                self._redis.zrevrangebyscore(
                    owner_jobs_key(owner), max_score, "-inf", offset, 2 * limit, withscores=True
                ),
            )
            offset += len(rows)
            entries = [(job_id.decode(), int(score)) for job_id, score in rows]
            jobs += self.get_existing([job_id for job_id, score in entries if _is_after(cursor, score, job_id)])
            if len(rows) < 2 * limit:
                break
        page = jobs[:limit]
        return page, Cursor(page[-1][0].start_time, page[-1][0].id) if len(jobs) > limit else None

    def find_traceparent(self, job_id: str) -> str | None:
        """Return the traceparent (W3C) of the request that created the job.

        None if it was not traced, if the job has expired, or while Redis does not answer.
        """
        with contextlib.suppress(Unavailable):
            value = cast(bytes | None, self._redis.hget(job_key(job_id, "job"), "traceparent"))
            return value.decode() if value else None
        return None

    def get_failure_report(self, job_id: str) -> dict[str, Any] | None:
        """Return the failure report of the job's last failed attempt."""
        report = cast(bytes | None, self._redis.get(job_key(job_id, "failure")))
        return json.loads(report) if report else None


def _decode(job_id: str, values: Sequence[Any]) -> JobWithEstimate:
    """Return what ``read.lua`` has returned of a job."""
    rest = values[len(JOB_FIELDS) :]
    return decode_job(job_id, values), decode_estimate(rest) if rest else QueueEstimate()


def _number(limit: int | None) -> int | None:
    return None if limit == UNLIMITED else limit


def _seconds_until_reset(policy: str, now_ms: int) -> int:
    """Rounded up, so that the new day or week has begun after that time."""
    reset_ms = compute_reset_times(now_ms).get(policy.upper())
    return BUSY_RETRY_AFTER_S if reset_ms is None else -((now_ms - reset_ms) // 1000)


def _encode_request(request: JobRequest, request_id: str) -> list[str | int]:
    """Return names and values of the hash fields that hold the request, in one row."""
    fields: dict[str, str | int] = {
        "prompt": request.prompt,
        "lora": request.lora or "",
        "inputs": json.dumps(request.inputs),
        "priority": request.priority,
        "requestId": request_id,
    }
    if request.webhook:
        fields["webhook"] = request.webhook
    if traceparent := current_traceparent():
        fields["traceparent"] = traceparent
    return [part for pair in fields.items() for part in pair]


def _is_after(cursor: Cursor | None, time_ms: int, job_id: str) -> bool:
    return cursor is None or (time_ms, job_id) < (cursor.time_ms, cursor.id)
