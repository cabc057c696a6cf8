"""Attempts at jobs: the claim, and every write of the attempt that holds a job.

Each write is one Lua script, fenced by the token of the claim: an attempt whose lease was lost changes nothing.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from redis import Redis

from ops.infra.settings import Settings
from schemas.errors import LeaseLost, ServiceError
from schemas.jobs.job import GeneratedImage, Job, Progress, Result
from stores.images.stored_results import StoredResults
from stores.redis.job_decoding import decode_job
from stores.redis.keys import job_key
from stores.redis.scripts import Scripts
from stores.sites.scheduling_rules import SchedulingRules

LEASE_MS = 30_000
# A job that takes down its worker so often ends: it may be the cause.
MAX_DELIVERIES = 2
# How long a job waits before its first retry, its second one, ...
RETRY_DELAYS_MS = (2_000, 8_000)
# Releases by stopping workers, which are not limited, apart.
MAX_ATTEMPTS = 1 + len(RETRY_DELAYS_MS) + MAX_DELIVERIES - 1


def max_unfinished_s(settings: Settings) -> int:
    """Return how long a job can take from its acceptance to its end: each attempt has a wait of its own before it."""
    return MAX_ATTEMPTS * (settings.max_wait_s + settings.job_deadline_s)


def list_retention_s(settings: Settings) -> int:
    """Return how long after its acceptance a job may still be there: so long the lists of jobs name it."""
    return max_unfinished_s(settings) + settings.result_ttl_s


class Attempts:
    """The attempts at the jobs of one Redis."""

    def __init__(
        self, client: Redis, scripts: Scripts, settings: Settings, rules: SchedulingRules, stored: StoredResults
    ) -> None:
        """Only jobs of sites that have ``rules`` are claimed."""
        self._redis = client
        self._scripts = scripts
        self._result_ttl_s = settings.result_ttl_s
        self._attempt_ttl_s = settings.job_deadline_s + settings.result_ttl_s
        self._rules = rules
        self._stored = stored

    def claim(self, worker_id: str, claim_token: str | None = None) -> Job | None:
        """Claim the next job for one attempt; None if no job may start now.

        Owners are served round robin; an owner's jobs are ordered by priority and age; the limits and the circuit
        breaker of each site are kept. A repeated call with the same ``claim_token`` returns the job that the first
        call claimed, so that a lost answer loses no job.
        """
        answer = self._rules.run(
            "claim",
            {
                "lease_ms": LEASE_MS,
                "worker_id": worker_id,
                "claim_token": claim_token or secrets.token_hex(8),
                "max_deliveries": MAX_DELIVERIES,
                "ttl_s": self._result_ttl_s,
            },
        )
        return decode_job(answer[0].decode(), answer[1]) if answer else None

    def renew(self, job: Job) -> bool:
        """Extend the attempt's lease; True if the job's cancellation was requested.

        Raises:
            LeaseLost: another attempt holds the job, or it has ended.
        """
        return self._run("renew", job, {"lease_ms": LEASE_MS}) == 2

    def mark_accepted(self, job: Job) -> None:
        """Record that the page accepted the prompt; raises LeaseLost."""
        self._run("mark_accepted", job)

    def record_updates(self, job: Job, progress: Progress | None, preview: bytes | None) -> None:
        """Record the page's current progress, a preview (JPEG), or both in one call; raises LeaseLost."""
        arguments = {
            "progress": progress and json.dumps(asdict(progress)),
            "preview": None if preview is None else json.dumps({"sizeBytes": len(preview)}),
            "ttl_s": self._attempt_ttl_s,
        }
        self._run("record_progress", job, arguments, *(() if preview is None else (preview,)))

    def record_progress(self, job: Job, progress: Progress) -> None:
        """Record the page's progress; raises LeaseLost."""
        self.record_updates(job, progress, None)

    def record_preview(self, job: Job, preview: bytes) -> None:
        """Store a preview (JPEG); raises LeaseLost."""
        self.record_updates(job, None, preview)

    def store_images(self, job: Job, images: Sequence[GeneratedImage], jpeg: bytes) -> list[str]:
        """Store the finished images, and the first one as JPEG too.

        Return their keys in the media store, which the end of the job records; none if they are in Redis. If this
        attempt does not end the job, the media store deletes them when it can no longer do so.

        Raises:
            LeaseLost: another attempt holds the job, or it has ended; only if the images belong into Redis.
        """
        pictures = [jpeg, *(image.data for image in images)]
        keys = self._stored.put(job.id, pictures, self._attempt_ttl_s)
        if not keys:
            self._run("store_images", job, {"ttl_s": self._attempt_ttl_s}, *pictures)
        return keys

    def complete(self, job: Job, images: Sequence[GeneratedImage], media_keys: Sequence[str]) -> None:
        """End the job with the images that were stored; raises LeaseLost, also if none were.

        ``media_keys`` are what ``store_images`` has returned.
        """
        results = [asdict(_to_result(image)) for image in images]
        arguments = {"event_data": json.dumps({"results": results}), "results": json.dumps(results)}
        media = list(media_keys) or None
        self._run("complete", job, {"ttl_s": self._result_ttl_s, "media": media, **arguments})

    def store_trace(self, job: Job, trace: bytes) -> None:
        """Store the attempt's Playwright trace, a zip; it expires with the job."""
        self._redis.set(job_key(job.id, "trace"), trace, ex=self._attempt_ttl_s)

    def fail(self, job: Job, error: ServiceError, failure_report: Mapping[str, Any] | None = None) -> None:
        """End the job with an error; raises LeaseLost."""
        self._run("fail", job, self._error_arguments(error), *_encode_report(failure_report))

    def retry(
        self, job: Job, error: ServiceError, delay_ms: int, failure_report: Mapping[str, Any] | None = None
    ) -> None:
        """Return the job to the queue for another attempt after ``delay_ms``; raises LeaseLost."""
        arguments = {"delay_ms": delay_ms, "is_retry": True}
        self._run("retry", job, self._error_arguments(error) | arguments, *_encode_report(failure_report))

    def release(self, job: Job, error: ServiceError) -> None:
        """Return the job to the head of the queue because this worker stops; counts as neither retry nor delivery.

        Raises:
            LeaseLost: another attempt holds the job, or it has ended.
        """
        self._run("retry", job, self._error_arguments(error) | {"delay_ms": 0, "is_retry": False})

    def _error_arguments(self, error: ServiceError) -> dict[str, Any]:
        return {"code": error.code, "message": error.message, "ttl_s": self._result_ttl_s}

    def _run(self, script: str, job: Job, arguments: Mapping[str, Any] | None = None, *blobs: bytes) -> int:
        fence = {"id": job.id, "claim_token": job.claim_token}
        answer = self._scripts.run(script, fence | dict(arguments or {}), *blobs)
        if not answer:
            raise LeaseLost
        return int(answer)


def _to_result(image: GeneratedImage) -> Result:
    return Result(image.media_type, len(image.data), image.width, image.height, image.lossy)


def _encode_report(report: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    return (json.dumps(report).encode(),) if report else ()
