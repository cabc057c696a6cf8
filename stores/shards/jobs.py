"""Jobs on several servers: a new one is on its caller's server, and its id tells which that was."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import CallerLimits
from schemas.errors import Gone, NotFound, ServiceError, Unavailable
from schemas.jobs.idempotency import Idempotency
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.lifecycle import JobState
from schemas.paging import Cursor
from stores.jobs.job_ids import JobIds
from stores.jobs.job_search import JobFilter, JobSearch, JobSearchPage
from stores.jobs.jobs import NO_LIMITS, AcceptedJob, Jobs, JobWithEstimate
from stores.redis.client import StoreClient
from stores.redis.errors import RETRY_AFTER_S
from stores.redis.keys import daily_usage_key, weekly_usage_key
from stores.redis.scripts import Scripts
from stores.shards.placement import Shards, server_mark

MAX_REMEMBERED = 20_000
# As in ``lua/shared/endings.lua``.
DAY_TTL_S, WEEK_TTL_S = 35 * 86_400, 14 * 604_800
R = TypeVar("R")


class JobPlaces:
    """Finds the server of a job: by the mark in its id, and if it is not there, by asking the others.

    It is elsewhere if the id was made before there were several servers, or the name of its server has changed.
    """

    def __init__(self, jobs: Shards[Jobs], ids: JobIds) -> None:
        self.jobs = jobs
        self._ids = ids
        self._marks = [server_mark(name) for name in jobs.names]
        self._known: dict[str, int] = {}

    def search(self, job_id: str, read: Callable[[Jobs], R]) -> R:
        """Return what ``read`` returns for the server that has the job; raises NotFound, Gone, Unavailable."""
        missing: ServiceError | None = None
        hidden: Unavailable | None = None
        for number, is_likely in self._order(job_id):
            if not is_likely and self.jobs.is_down(number):
                hidden = Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S)
                continue
            try:
                found = read(self.jobs.members[number])
            except (NotFound, Gone) as error:
                missing = error if missing is None or isinstance(error, Gone) else missing
            except Unavailable as error:
                if is_likely:
                    raise
                hidden = error
            else:
                self._remember(job_id, number)
                return found
        # Only an id without a known mark may be that of a job on a server that does not answer.
        has_likely = self._has_mark(job_id)
        raise (missing if missing and (has_likely or hidden is None) else hidden) or NotFound()

    def locate(self, job_id: str) -> int:
        """Return the number of the job's server; that of its mark if there is no such job."""
        known = self._known.get(job_id)
        if known is not None:
            return known
        with contextlib.suppress(NotFound, Gone):
            self.search(job_id, lambda jobs: jobs.get(job_id))
        return self._known.get(job_id, self._order(job_id)[0][0])

    def likely(self, job_id: str) -> int | None:
        """Return the number of the server that the id names, or where the job was found; None if it names none."""
        number = self._known.get(job_id)
        if number is None and self._has_mark(job_id):
            number = self._order(job_id)[0][0]
        return number

    def _has_mark(self, job_id: str) -> bool:
        return self._ids.read_mark(job_id) in self._marks

    def _order(self, job_id: str) -> list[tuple[int, bool]]:
        """Return the servers in the order in which they are asked, and whether the job should be there."""
        known, mark = self._known.get(job_id), self._ids.read_mark(job_id)
        likely = [number for number, each in enumerate(self._marks) if each == mark] if known is None else [known]
        rest = [number for number in range(len(self.jobs)) if number not in likely]
        return [(number, True) for number in likely] + [(number, False) for number in rest]

    def _remember(self, job_id: str, number: int) -> None:
        if len(self._known) >= MAX_REMEMBERED:
            self._known.clear()
        self._known[job_id] = number


class RoutedJobs(Jobs):
    """The jobs of all servers; new ones are made on one of them."""

    def __init__(
        self, client: StoreClient, scripts: Scripts, clock: Clock, settings: Settings, ids: JobIds, *, places: JobPlaces
    ) -> None:
        """All but ``places`` are those of the server for new jobs."""
        super().__init__(client, scripts, clock, settings, ids)
        self._places = places
        self._counted: set[str] = set()

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
        """Accept a job on the owner's server, as ``Jobs`` does."""
        if owner not in self._counted:
            self._carry_usage(owner)
        return super().create(job_id, owner, request, request_id, idempotency, limits=limits, room=room, ticket=ticket)

    def _carry_usage(self, owner: str) -> None:
        """Begin the counters of an owner who is new on this server with those that other servers have."""
        now_ms = self._clock.now_ms()
        counters = {daily_usage_key(owner, now_ms): DAY_TTL_S, weekly_usage_key(owner, now_ms): WEEK_TTL_S}
        clients = [
            client
            for number, client in enumerate(self._places.jobs.clients)
            if client is not self._redis and not self._places.jobs.is_down(number)
        ]
        largest = dict.fromkeys(counters, 0)
        for client in clients:
            with contextlib.suppress(Unavailable):
                for name, count in zip(counters, cast(list[bytes | None], client.mget(list(counters))), strict=True):
                    # The counter of a server to which the owner moved contains what it had counted before.
                    largest[name] = max(largest[name], int(count or 0))
        for name, total in largest.items():
            if total:
                # Only if there is none: a caller that was counted here has brought the rest along.
                self._redis.set(name, total, nx=True, ex=counters[name])
        if len(self._counted) >= MAX_REMEMBERED:
            self._counted.clear()
        self._counted.add(owner)

    def _of(self, job_id: str) -> Jobs:
        return self._places.jobs.members[self._places.locate(job_id)]

    def get_with_estimate(self, job_id: str) -> JobWithEstimate:
        """Return a job and its queue estimate, as ``Jobs`` does."""
        return self._places.search(job_id, lambda jobs: jobs.get_with_estimate(job_id))

    def get_existing(self, ids: Sequence[str]) -> list[JobWithEstimate]:
        """Return those of the jobs that there are, in this order, from the servers that answer."""
        by_number: dict[int | None, list[str]] = {}
        for job_id in ids:
            by_number.setdefault(self._places.likely(job_id), []).append(job_id)
        found: dict[str, JobWithEstimate] = {}
        for number, some in by_number.items():
            jobs = self._places.jobs
            numbers = [each for each in range(len(jobs)) if not jobs.is_down(each)] if number is None else [number]
            for each in numbers:
                with contextlib.suppress(Unavailable):
                    found |= {entry[0].id: entry for entry in jobs.members[each].get_existing(some)}
        return [found[job_id] for job_id in ids if job_id in found]

    def cancel(self, job_id: str) -> str:
        """Cancel a job, as ``Jobs`` does."""
        return self._of(job_id).cancel(job_id)

    def withdraw(self, job: Job, key: str | None) -> None:
        """Cancel a job whose request is refused, as ``Jobs`` does."""
        self._of(job.id).withdraw(job, key)

    def cancel_all(self, owner: str) -> dict[str, int]:
        """Cancel all unfinished jobs of an owner, on every server that answers."""
        counts = self._places.jobs.try_each(lambda jobs: jobs.cancel_all(owner), subject=owner)
        return {outcome: sum(each[outcome] for each in counts) for outcome in counts[0]}

    def list_page(self, owner: str, cursor: Cursor | None, limit: int) -> tuple[list[JobWithEstimate], Cursor | None]:
        """Return a page of the owner's jobs, newest first, as ``Jobs`` does."""
        pages = self._places.jobs.try_each(lambda jobs: jobs.list_page(owner, cursor, limit), subject=owner)
        merged = sorted((entry for page, _ in pages for entry in page), key=_age, reverse=True)
        page, has_more = merged[:limit], len(merged) > limit or any(following for _, following in pages)
        return page, Cursor(page[-1][0].start_time, page[-1][0].id) if page and has_more else None

    def find_traceparent(self, job_id: str) -> str | None:
        """Return the traceparent of the request that created the job, as ``Jobs`` does."""
        with contextlib.suppress(Unavailable):
            return self._of(job_id).find_traceparent(job_id)
        return None

    def get_failure_report(self, job_id: str) -> dict[str, Any] | None:
        """Return the failure report of the job's last failed attempt."""
        return self._of(job_id).get_failure_report(job_id)


class RoutedJobSearch(JobSearch):
    """Searches the jobs of all servers that answer."""

    def __init__(self, client: StoreClient, jobs: Jobs, searches: Shards[JobSearch]) -> None:
        super().__init__(client, jobs)
        self._searches = searches

    def find_page(self, criteria: JobFilter, cursor: Cursor | None = None, limit: int = 50) -> JobSearchPage:
        """Return one page of matching jobs, as ``JobSearch`` does."""
        pages = self._searches.try_each(
            lambda search: search.find_page(criteria, cursor, limit), subject=criteria.owner
        )
        merged = sorted((entry for page in pages for entry in page.jobs), key=_age, reverse=True)
        # What a server has not looked at yet may be newer than what another one has found.
        ends = [page.next_cursor for page in pages if page.next_cursor]
        end = max(ends, key=lambda each: (each.time_ms, each.id)) if ends else None
        complete = [entry for entry in merged if end is None or _age(entry) >= (end.time_ms, end.id)]
        if len(complete) <= limit:
            return JobSearchPage(complete, end)
        last = complete[limit - 1][0]
        return JobSearchPage(complete[:limit], Cursor(last.start_time, last.id))

    def find_latest_of_sites(
        self, owner: str | None, states: frozenset[JobState], sites: Sequence[str], limit: int
    ) -> dict[str, list[Job]]:
        """Return the latest jobs of each site, as ``JobSearch`` does."""
        found = self._searches.try_each(
            lambda search: search.find_latest_of_sites(owner, states, sites, limit), subject=owner
        )
        merged = {site: [job for each in found for job in each[site]] for site in sites}
        return {
            site: sorted(jobs, key=lambda job: (job.start_time, job.id), reverse=True)[:limit]
            for site, jobs in merged.items()
        }


def _age(entry: JobWithEstimate) -> tuple[int, str]:
    return entry[0].start_time, entry[0].id
