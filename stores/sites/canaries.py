"""Canaries: scheduled test jobs of sites, one at a time, and the outcome of the last one."""

import json
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.redis.keys import canary_key, canary_turn_key

CANARY_OWNER = "canary"


@dataclass(frozen=True, slots=True)
class CanaryOutcome:
    """How a site's last canary ended; stored in Redis by these names.

    ``at`` is in Unix milliseconds, ``seconds`` the run time, ``code`` and ``error`` are those of a failure.
    """

    ok: bool
    at: int
    seconds: float | None
    code: str | None
    error: str | None


class Canaries:
    """The canaries of one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        self._redis = client
        self._clock = clock

    def claim_turn(self, site: str, every_s: int) -> bool:
        """Whether a canary is due; the next one is due ``every_s`` later."""
        return bool(self._redis.set(canary_turn_key(site), b"", nx=True, ex=every_s))

    def record_sent(self, site: str, job_id: str) -> None:
        """Record the job of the site's pending canary."""
        self._redis.hset(canary_key(site), "job", job_id)

    def get_pending(self, site: str) -> str | None:
        """Return the job of the canary whose outcome has not been recorded."""
        job_id = cast(bytes | None, self._redis.hget(canary_key(site), "job"))
        return job_id.decode() if job_id else None

    def record_outcome(self, site: str, job: Job | None) -> None:
        """Record how the pending canary ended; with None (its job has expired) the last outcome stays."""
        with self._redis.pipeline() as pipe:
            if job is not None:
                pipe.hset(canary_key(site), "outcome", json.dumps(asdict(_to_outcome(job))))
            pipe.hdel(canary_key(site), "job")
            pipe.execute()

    def read_outcomes(self, sites: list[str]) -> dict[str, CanaryOutcome | None]:
        """Return the outcome of each site's last canary; None if it has had none."""
        with self._redis.pipeline(transaction=False) as pipe:
            for site in sites:
                pipe.hget(canary_key(site), "outcome")
            rows = cast(list[bytes | None], pipe.execute())
        return {site: CanaryOutcome(**json.loads(row)) if row else None for site, row in zip(sites, rows, strict=True)}


def _to_outcome(job: Job) -> CanaryOutcome:
    ran_ms = (job.finished_at or 0) - job.started_at if job.started_at else None
    return CanaryOutcome(
        ok=job.state is JobState.COMPLETED,
        at=job.finished_at or job.last_modified,
        seconds=None if ran_ms is None else ran_ms / 1000,
        code=job.error.code if job.error else None,
        error=job.error.message if job.error else None,
    )
