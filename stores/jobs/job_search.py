"""Finds jobs by state, site, owner and words of their prompts, among one caller's jobs or all jobs.

Jobs live in Redis until they expire, so their number is bounded by the queue and RESULT_TTL_S, and a search reads the
few fields that it compares of each job, newest first.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from schemas.errors import Gone, NotFound
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor
from stores.jobs.jobs import Jobs, JobWithEstimate
from stores.redis.keys import ALL_JOBS, job_key, owner_jobs_key

BATCH_SIZE = 200
# A page may end before it is full, with a cursor, after so many jobs were looked at.
MAX_EXAMINED = 10_000
COMPARED_FIELDS = ("state", "site", "owner", "prompt")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs: those of ``owner`` (all owners' if None) that have all words of ``text`` in their prompt or id.

    No ``states`` or an empty ``site`` or ``text`` exclude nothing; case makes no difference to ``text``.
    """

    owner: str | None
    states: frozenset[JobState] = frozenset()
    site: str = ""
    text: str = ""

    def matches(self, job_id: str, values: Sequence[bytes | None]) -> bool:
        """Whether a job with these values of COMPARED_FIELDS matches; a job without values has expired."""
        if values[0] is None:
            return False
        state, site, owner, prompt = ((value or b"").decode() for value in values)
        if self.owner is not None and owner != self.owner:
            return False
        if (self.states and state not in self.states) or (self.site and site != self.site):
            return False
        content = f"{job_id} {prompt}".casefold()
        return all(word in content for word in self.text.casefold().split())


@dataclass(frozen=True, slots=True)
class JobSearchPage:
    """Matching jobs, newest first, and the cursor of the next page."""

    jobs: list[JobWithEstimate]
    next_cursor: Cursor | None


class JobSearch:
    """Searches the jobs of one Redis."""

    def __init__(self, client: Redis, jobs: Jobs) -> None:
        self._redis = client
        self._jobs = jobs

    def find_page(self, criteria: JobFilter, cursor: Cursor | None = None, limit: int = 50) -> JobSearchPage:
        """Return one page of matching jobs; with a cursor the one after it, whatever was submitted since."""
        index = ALL_JOBS if criteria.owner is None else owner_jobs_key(criteria.owner)
        max_score = "+inf" if cursor is None else str(cursor.time_ms)
        found: list[Cursor] = []
        last: Cursor | None = None
        offset = 0
        while len(found) <= limit and offset < MAX_EXAMINED:
            rows = cast(
                list[tuple[bytes, float]],
                self._redis.zrevrangebyscore(index, max_score, "-inf", offset, BATCH_SIZE, withscores=True),
            )
            entries = [Cursor(int(score), job_id.decode()) for job_id, score in rows]
            new = [entry for entry in entries if cursor is None or _key(entry) < _key(cursor)]
            found += self._matching(criteria, new)
            last = entries[-1] if entries else None
            offset += len(rows)
            if len(rows) < BATCH_SIZE:
                last = None
                break
        page = found[:limit]
        return JobSearchPage(self._read(page), page[-1] if len(found) > limit else last)

    def _matching(self, criteria: JobFilter, entries: Sequence[Cursor]) -> list[Cursor]:
        with self._redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.hmget(job_key(entry.id, "job"), COMPARED_FIELDS)
            rows = pipe.execute() if entries else []
        return [entry for entry, values in zip(entries, rows, strict=True) if criteria.matches(entry.id, values)]

    def _read(self, entries: Sequence[Cursor]) -> list[JobWithEstimate]:
        jobs = []
        for entry in entries:
            # It may have expired since it was compared.
            with contextlib.suppress(NotFound, Gone):
                jobs.append(self._jobs.get_with_estimate(entry.id))
        return jobs


def _key(entry: Cursor) -> tuple[int, str]:
    return entry.time_ms, entry.id
