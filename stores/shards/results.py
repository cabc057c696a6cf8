"""What jobs leave, on several servers: pictures, events, copies for status requests, and figures of all jobs."""

from collections.abc import Callable
from typing import TypeVar

from ops.infra.clock import Clock
from schemas.errors import NotFound
from schemas.jobs.events import Event
from schemas.jobs.job import Job
from stores.images.stored_results import StoredResults
from stores.jobs.event_log import BATCH_SIZE, STREAM_START, EventLog
from stores.jobs.jobs import NO_SUCH_JOB, Jobs
from stores.jobs.metrics import Histogram, JobMetrics, JobMetricsReader
from stores.jobs.metrics_history import HistoryPoint, MetricsHistory
from stores.jobs.results import Results
from stores.jobs.shared.job_copies import JobCopies, JobCopy
from stores.redis.client import StoreClient
from stores.redis.pubsub import JobNotifier
from stores.shards.jobs import JobPlaces
from stores.shards.placement import Shards

K = TypeVar("K")


class RoutedResults(Results):
    """The images of the jobs of all servers."""

    def __init__(self, client: StoreClient, stored: StoredResults, results: Shards[Results], places: JobPlaces) -> None:
        super().__init__(client, stored)
        self._results, self._places = results, places

    def _of(self, job_id: str) -> Results:
        return self._results.members[self._places.locate(job_id)]

    def get_preview(self, job_id: str) -> bytes | None:
        """Return the newest preview, JPEG."""
        return self._of(job_id).get_preview(job_id)

    def get_original(self, job_id: str, number: int = 1) -> bytes | None:
        """Return the job's image of that number (from 1) with the site's own bytes."""
        return self._of(job_id).get_original(job_id, number)

    def has_original(self, job_id: str) -> bool:
        """Whether the job's images are still there."""
        return self._of(job_id).has_original(job_id)

    def get_converted(self, job_id: str, image_format: str, number: int = 1) -> bytes | None:
        """Return the image of that number in a format, as ``Results`` does."""
        return self._of(job_id).get_converted(job_id, image_format, number)

    def has_trace(self, job_id: str) -> bool:
        """Whether the job has a trace."""
        return self._of(job_id).has_trace(job_id)

    def get_trace(self, job_id: str) -> bytes | None:
        """Return the Playwright trace of the last failed retry, a zip."""
        return self._of(job_id).get_trace(job_id)

    def store_converted(self, job_id: str, image_format: str, data: bytes, number: int = 1) -> None:
        """Store a conversion where its job is, as ``Results`` does."""
        self._of(job_id).store_converted(job_id, image_format, data, number)

    def request_converted(
        self, job_id: str, image_format: str, send: Callable[[], None], *, timeout_s: float, number: int = 1
    ) -> bytes | None:
        """Wait for a conversion, as ``Results`` does."""
        return self._of(job_id).request_converted(job_id, image_format, send, timeout_s=timeout_s, number=number)


class RoutedEventLog(EventLog):
    """The events of the jobs of all servers.

    An owner's feed is on the owner's server. Others have events of jobs from before the owner belonged there, and those
    that had to be written while the owner's server was down. Ids are times, so within the difference of the servers'
    clocks such an event may come before the reader's position and be left out.
    """

    def __init__(self, client: StoreClient, logs: Shards[EventLog], places: JobPlaces) -> None:
        super().__init__(client)
        self._logs, self._places = logs, places

    def read_job(self, job: Job, after: int, known_seq: int = 0) -> list[Event]:
        """Return the job's events with numbers above ``after``, as ``EventLog`` does."""
        return self._logs.members[self._places.locate(job.id)].read_job(job, after, known_seq)

    def read_owner(self, owner: str, after: str) -> list[tuple[str, Event]]:
        """Return the owner's events after a stream id, as ``EventLog`` does."""
        parts = self._logs.try_each(lambda log: log.read_owner(owner, after), subject=owner)
        merged = sorted((entry for part in parts for entry in part), key=lambda entry: _position(entry[0]))
        # What follows the end of a full batch is in the next one.
        ends = [_position(part[-1][0]) for part in parts if len(part) >= BATCH_SIZE]
        return [entry for entry in merged if not ends or _position(entry[0]) <= min(ends)]

    def newest_stream_id(self, owner: str) -> str:
        """Return the stream id of the owner's newest event."""
        found = self._logs.try_each(lambda log: log.newest_stream_id(owner), subject=owner)
        return max(found, key=_position)

    def oldest_stream_id(self, owner: str) -> str:
        """Return the stream id of the owner's oldest event that is still stored."""
        found = self._logs.try_each(lambda log: log.oldest_stream_id(owner), subject=owner)
        return min((each for each in found if each != STREAM_START), key=_position, default=STREAM_START)


def _position(stream_id: str) -> tuple[int, int]:
    milliseconds, number = stream_id.split("-")
    return int(milliseconds), int(number)


class RoutedJobCopies(JobCopies):
    """The copies of jobs of all servers, each kept true by the subscription to its own server."""

    def __init__(
        self, jobs: Jobs, notifier: JobNotifier, clock: Clock, copies: Shards[JobCopies], places: JobPlaces
    ) -> None:
        super().__init__(jobs, notifier, clock)
        self._copies, self._places = copies, places

    def read(self, job_id: str) -> JobCopy:
        """Return the job as it is at some moment during this call.

        Raises:
            NotFound: the id does not say on which server the job is; ``RoutedJobs`` may find it all the same.
            Gone, Unavailable: as ``JobCopies.read``.
        """
        number = self._places.likely(job_id)
        if number is None:
            raise NotFound(NO_SUCH_JOB)
        return self._copies.members[number].read(job_id)


class JoinedMetrics(JobMetricsReader):
    """The sums of the figures of all servers that answer."""

    def __init__(self, client: StoreClient, clock: Clock, readers: Shards[JobMetricsReader]) -> None:
        super().__init__(client, clock)
        self._readers = readers

    def read(self) -> JobMetrics:
        """Return the present figures."""
        return join_metrics(self._readers.try_each(lambda reader: reader.read()))


def join_metrics(parts: list[JobMetrics]) -> JobMetrics:
    """Return the figures of several servers together."""
    return JobMetrics(
        open_jobs=_add([part.open_jobs for part in parts]),
        ended_jobs=_add([part.ended_jobs for part in parts]),
        waiting=sum(part.waiting for part in parts),
        running=sum(part.running for part in parts),
        oldest_age_s=max(part.oldest_age_s for part in parts),
        pickup=_join_histograms([part.pickup for part in parts]),
        run=_join_histograms([part.run for part in parts]),
    )


def _add(parts: list[dict[K, int]]) -> dict[K, int]:
    total: dict[K, int] = {}
    for part in parts:
        for key, number in part.items():
            total[key] = total.get(key, 0) + number
    return total


def align_histograms(parts: list[Histogram]) -> list[Histogram]:
    """Return histograms of several servers with the same bounds, so that they can be added."""
    bounds = sorted({bound for part in parts for bound, _ in part.buckets}, key=float)
    # Cumulative: a bound that a server has not seen counts what it has below it.
    return [
        Histogram(
            [(bound, max((n for b, n in part.buckets if float(b) <= float(bound)), default=0.0)) for bound in bounds],
            part.sum,
        )
        for part in parts
    ]


def _join_histograms(parts: list[Histogram]) -> Histogram:
    columns = zip(*(part.buckets for part in align_histograms(parts)), strict=True)
    counts = [(column[0][0], sum(count for _, count in column)) for column in columns]
    return Histogram(counts, sum(part.sum for part in parts))


class JoinedMetricsHistory(MetricsHistory):
    """The histories of all servers that answer, put together.

    A median or percentile is the largest one among those of the servers.
    """

    def __init__(self, client: StoreClient, clock: Clock, histories: Shards[MetricsHistory]) -> None:
        super().__init__(client, clock)
        self._histories = histories

    def read(self, span_s: int = 43_200, max_points: int = 120) -> list[HistoryPoint]:
        """Return the last ``span_s``, as ``MetricsHistory`` does."""
        width_ms = max(span_s * 1000 // max_points, 1)
        groups: dict[int, list[HistoryPoint]] = {}
        for points in self._histories.try_each(lambda history: history.read(span_s, max_points)):
            for point in points:
                groups.setdefault(point.at_ms // width_ms, []).append(point)
        return [_join_points(groups[key]) for key in sorted(groups)]


def _join_points(points: list[HistoryPoint]) -> HistoryPoint:
    return HistoryPoint(
        at_ms=max(point.at_ms for point in points),
        waiting=sum(point.waiting for point in points),
        running=sum(point.running for point in points),
        completed=sum(point.completed for point in points),
        failed=_add([dict(point.failed) for point in points]),
        pickup_s=_largest([point.pickup_s for point in points]),
        run_s=_largest([point.run_s for point in points]),
    )


def _largest(values: list[tuple[float, float] | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    return (max(value[0] for value in known), max(value[1] for value in known)) if known else None
