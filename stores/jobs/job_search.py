"""Finds jobs by state, site, owner and words of their prompts, among one caller's jobs or all jobs.

Jobs live in Redis until they expire, so their number is bounded by the queue and RESULT_TTL_S, and a search reads the
few fields that it compares of each job, newest first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from redis import Redis

from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor
from stores.jobs.jobs import Jobs, JobWithEstimate
from stores.redis.keys import ALL_JOBS, job_key, owner_jobs_key

BATCH_SIZE = 200
# A page may end before it is full, with a cursor, after so many jobs were looked at.
MAX_EXAMINED = 10_000
COMPARED_FIELDS = ("state", "site", "owner", "prompt")
SITE = COMPARED_FIELDS.index("site")


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
        found: list[Cursor] = []
        last: Cursor | None = None
        for entries, is_last in self._list_entries(criteria.owner, cursor):
            new = [entry for entry in entries if cursor is None or _key(entry) < _key(cursor)]
            rows = self._read_compared(new)
            found += [entry for entry, values in zip(new, rows, strict=True) if criteria.matches(entry.id, values)]
            last = entries[-1] if entries and not is_last else None
            if len(found) > limit:
                break
        page = found[:limit]
        return JobSearchPage(self._read(page), page[-1] if len(found) > limit else last)

    def find_latest_of_sites(
        self, owner: str | None, states: frozenset[JobState], sites: Sequence[str], limit: int
    ) -> dict[str, list[Job]]:
        """Return the latest jobs of each site, in one pass over those of the owner (of all owners if None)."""
        criteria = JobFilter(owner, states)
        found: dict[str, list[Cursor]] = {site: [] for site in sites}
        for entries, _ in self._list_entries(owner, None):
            for entry, values in zip(entries, self._read_compared(entries), strict=True):
                of_site = found.get((values[SITE] or b"").decode())
                if of_site is not None and len(of_site) < limit and criteria.matches(entry.id, values):
                    of_site.append(entry)
            if all(len(of_site) >= limit for of_site in found.values()):
                break
        jobs = {job.id: job for job, _ in self._read([entry for of_site in found.values() for entry in of_site])}
        return {site: [jobs[entry.id] for entry in of_site if entry.id in jobs] for site, of_site in found.items()}

    def _list_entries(self, owner: str | None, cursor: Cursor | None) -> Iterator[tuple[list[Cursor], bool]]:
        """Yield the entries of an owner's jobs in batches, and whether a batch is the last, up to MAX_EXAMINED."""
        index = ALL_JOBS if owner is None else owner_jobs_key(owner)
        max_score = "+inf" if cursor is None else str(cursor.time_ms)
        for offset in range(0, MAX_EXAMINED, BATCH_SIZE):
            rows = cast(
                list[tuple[bytes, float]],
                self._redis.zrevrangebyscore(index, max_score, "-inf", offset, BATCH_SIZE, withscores=True),
            )
            is_last = len(rows) < BATCH_SIZE
            yield [Cursor(int(score), job_id.decode()) for job_id, score in rows], is_last
            if is_last:
                return

    def _read_compared(self, entries: Sequence[Cursor]) -> list[list[bytes | None]]:
        """Return the values of COMPARED_FIELDS of each job."""
        if not entries:
            return []
        with self._redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.hmget(job_key(entry.id, "job"), COMPARED_FIELDS)
            return pipe.execute()

    def _read(self, entries: Sequence[Cursor]) -> list[JobWithEstimate]:
        # One of them may have expired since it was compared.
        return self._jobs.get_existing([entry.id for entry in entries])


def _key(entry: Cursor) -> tuple[int, str]:
    return entry.time_ms, entry.id
