"""The canaries: when the next one of a site is due, which job it is, and how the last one ended."""

import json
from dataclasses import asdict, dataclass
from typing import cast

from redis import Redis

from ops.infra.clock import Clock
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.redis.errors import redis_errors

CANARY_OWNER = "canary"


@dataclass(frozen=True, slots=True)
class CanaryOutcome:
    """How a site's last canary ended: ``at`` in Unix milliseconds, the ``seconds`` it ran, its error if it failed."""

    ok: bool
    at: int
    seconds: float | None
    code: str | None
    error: str | None


class Canaries:
    """The canaries of one Redis."""

    def __init__(self, client: Redis, clock: Clock) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock

    def claim_turn(self, site: str, every_s: int) -> bool:
        """Whether a canary is due; it is not again until ``every_s`` later."""
        with redis_errors():
            return bool(self._redis.set(f"dr:canary:{site}:sent", b"", nx=True, ex=every_s))

    def record_sent(self, site: str, job_id: str) -> None:
        """The site's canary is that job."""
        with redis_errors():
            self._redis.hset(f"dr:canary:{site}", "job", job_id)

    def get_pending(self, site: str) -> str | None:
        """The job of a canary whose end has not been noted."""
        with redis_errors():
            job_id = cast(bytes | None, self._redis.hget(f"dr:canary:{site}", "job"))
        return job_id.decode() if job_id else None

    def record_outcome(self, site: str, job: Job | None) -> None:
        """Note how a canary ended; None if its record is gone."""
        with redis_errors(), self._redis.pipeline() as pipe:
            if job is not None:
                pipe.hset(f"dr:canary:{site}", "outcome", json.dumps(asdict(_outcome(job))))
            pipe.hdel(f"dr:canary:{site}", "job")
            pipe.execute()

    def read_outcomes(self, sites: list[str]) -> dict[str, CanaryOutcome | None]:
        """How the last canary of each site ended; None where there has been none."""
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            for site in sites:
                pipe.hget(f"dr:canary:{site}", "outcome")
            rows = cast(list[bytes | None], pipe.execute())
        return {site: CanaryOutcome(**json.loads(row)) if row else None for site, row in zip(sites, rows, strict=True)}


def _outcome(job: Job) -> CanaryOutcome:
    ran = (job.finished_at or 0) - job.started_at if job.started_at else None
    return CanaryOutcome(
        ok=job.state is JobState.COMPLETED,
        at=job.finished_at or job.last_modified,
        seconds=None if ran is None else ran / 1000,
        code=job.error.code if job.error else None,
        error=job.error.message if job.error else None,
    )
