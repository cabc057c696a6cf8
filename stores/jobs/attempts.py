"""An attempt's side of a job: the claim and every write, each one Lua script, fenced by the attempt that asks."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import LeaseLost, ServiceError
from schemas.jobs.events import EventType
from schemas.jobs.job import GeneratedImage, Job, Progress, Result
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import decode_job
from stores.redis.keys import job_key
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes, build_scheduling_rules

LEASE_MS = 30_000
MAX_DELIVERIES = 3


class Attempts:
    """The attempts at the jobs of one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings, recipes: Recipes) -> None:
        """``client`` answers bytes; only jobs of sites that ``recipes`` knows are claimed."""
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._ttl_s = settings.result_ttl_s
        self._deadline_s = settings.job_deadline_s
        self._recipes = recipes

    def claim(self, worker_id: str, claim_token: str | None = None) -> Job | None:
        """Take the next job for one attempt, or None when there is none that may start now.

        Callers take turns; a caller's own jobs come by priority and age; each site's limits and circuit are kept.
        Should the answer get lost, a call with the same ``token`` finds what the first one has taken.
        """
        now = self._clock.now_ms()
        most = (MAX_DELIVERIES, self._ttl_s)
        claim_token = claim_token or secrets.token_hex(8)
        answer = self._scripts.run(
            "claim", now, LEASE_MS, worker_id, claim_token, *most, *build_scheduling_rules(self._recipes)
        )
        return decode_job(answer[0].decode(), answer[1]) if answer else None

    def renew(self, job: Job) -> bool:
        """Lengthen the attempt's lease; True if the job's end was asked for meanwhile.

        Raises:
            LeaseLost: another attempt holds the job, or it has ended.
        """
        answer = self._scripts.run("renew", job.id, self._clock.now_ms(), job.claim_token, LEASE_MS)
        return _held(answer) == 2

    def mark_accepted(self, job: Job) -> None:
        """The page has taken the prompt; raises LeaseLost as ``renew`` does."""
        _held(self._scripts.run("accept", job.id, self._clock.now_ms(), job.claim_token))

    def record_progress(self, job: Job, progress: Progress) -> None:
        """The page is so far; raises LeaseLost as ``renew`` does."""
        self._note(job, EventType.PROGRESS, asdict(progress))

    def record_preview(self, job: Job, preview: bytes) -> None:
        """The page shows this picture for now (JPEG); raises LeaseLost as ``renew`` does."""
        self._note(job, EventType.PREVIEW, {"sizeBytes": len(preview)}, preview)

    def _note(self, job: Job, kind: EventType, data: Mapping[str, Any], preview: bytes = b"") -> None:
        ttl_s = self._deadline_s + self._ttl_s
        now = self._clock.now_ms()
        _held(self._scripts.run("note", job.id, now, job.claim_token, kind, json.dumps(data), ttl_s, preview))

    def store_images(self, job: Job, images: Sequence[GeneratedImage], jpeg: bytes) -> None:
        """Keep the attempt's pictures, the first as JPEG too; raises LeaseLost as ``renew`` does."""
        originals = [picture.data for picture in images]
        _held(self._scripts.run("put", job.id, job.claim_token, self._deadline_s + self._ttl_s, jpeg, *originals))

    def complete(self, job: Job, images: Sequence[GeneratedImage]) -> None:
        """End the job with the pictures that were put; raises LeaseLost as ``renew`` does."""
        results = [asdict(_result(picture)) for picture in images]
        data = json.dumps({"results": results})
        now = self._clock.now_ms()
        _held(
            self._scripts.run(
                "complete", job.id, now, job.claim_token, self._ttl_s, data, "results", json.dumps(results)
            )
        )

    def store_trace(self, job: Job, trace: bytes) -> None:
        """Keep what was recorded of the attempt, a zip; it expires with the job."""
        with redis_errors():
            self._redis.set(job_key(job.id, "trace"), trace, ex=self._deadline_s + self._ttl_s)

    def fail(self, job: Job, error: ServiceError, failure_report: Mapping[str, Any] | None = None) -> None:
        """End the job with an honest reason; raises LeaseLost as ``renew`` does."""
        now = self._clock.now_ms()
        reason = (error.code, error.message, json.dumps(failure_report) if failure_report else "")
        _held(self._scripts.run("fail", job.id, now, job.claim_token, self._ttl_s, *reason))

    def retry(
        self, job: Job, error: ServiceError, delay_ms: int, failure_report: Mapping[str, Any] | None = None
    ) -> None:
        """Give the job back for a further attempt after ``delay_ms``; raises LeaseLost as ``renew`` does."""
        self._give_back(job, error, delay_ms, json.dumps(failure_report) if failure_report else "", uncounted=False)

    def release(self, job: Job, error: ServiceError) -> None:
        """Give the job back at once because this worker stops: the delivery does not count."""
        self._give_back(job, error, 0, "", uncounted=True)

    def _give_back(self, job: Job, error: ServiceError, delay_ms: int, bundle: str, *, uncounted: bool) -> None:
        now = self._clock.now_ms()
        reason = (error.code, error.message, bundle, self._ttl_s, int(uncounted))
        _held(self._scripts.run("retry", job.id, now, job.claim_token, now + delay_ms, *reason))


def _result(picture: GeneratedImage) -> Result:
    return Result(picture.media_type, len(picture.data), picture.width, picture.height, picture.lossy)


def _held(answer: Any) -> int:
    if not answer:
        raise LeaseLost
    return int(answer)
