"""``/metrics`` for Prometheus: HTTP latencies of the web processes, and jobs, queue and browsers from Redis."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RoutePolicy
from stores import Stores
from stores.jobs.metrics import JobMetrics
from stores.queue.process_reports import ProcessReport
from stores.redis.client import StoreClient
from stores.shards.results import align_histograms, join_metrics

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60)
MULTIPROCESS_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

blueprint = Blueprint("metrics", __name__, access=Access.KEY, description="Metrics for Prometheus.")

http_seconds = Histogram(
    "darkroom_http_request_seconds", "Time to answer, by route.", ["route", "method", "status"], buckets=BUCKETS_S
)


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Record the latency of a request; ``route`` is the endpoint's name."""
    _seconds(route, method, status).observe(seconds)


@cache
def _seconds(route: str, method: str, status: int) -> Histogram:
    # Finding it takes as long as counting. There are as many as prometheus_client keeps.
    return http_seconds.labels(route, method, str(status))


@blueprint.route("/metrics", policy=RoutePolicy(is_logged=False))
@blueprint.doc(operationId="metricsRead")
@blueprint.response(200, {"type": "string"}, description="Prometheus text format.", content_type="text/plain")
def metrics() -> Response:
    """Jobs by state and site, queue depth and age, pick-up and run times, browsers, HTTP latencies."""
    shared = CollectorRegistry()
    shared.register(_SharedMetricsCollector(stores().servers.first_that_answers()))
    return Response(generate_latest(_http_registry()) + generate_latest(shared), content_type=CONTENT_TYPE_LATEST)


def _http_registry() -> CollectorRegistry:
    """Return this process's registry, or one that merges those of all web processes of this machine."""
    if MULTIPROCESS_DIR_VARIABLE not in os.environ:
        return REGISTRY
    merged = CollectorRegistry()
    MultiProcessCollector(merged)
    return merged


class _SharedMetricsCollector:
    """Metrics that are the same for all processes, read from Redis on every scrape."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield self._redis()
        yield self._canaries()
        yield from self._workers()
        yield from self._processes()

    def _jobs(self) -> Iterator[Metric]:
        by_server = dict(self._stores.servers.try_each(lambda each: (each.redis, each.plain.metrics.read())))
        metrics = join_metrics(list(by_server.values()))
        jobs = GaugeMetricFamily("darkroom_jobs", "Unfinished jobs.", labels=["site", "state"])
        for (site, state), count in metrics.open_jobs.items():
            jobs.add_metric([site, state], count)
        yield jobs
        for name, text, value in (
            ("queue_depth", "Jobs that wait.", metrics.waiting),
            (
                "queue_messages",
                "Messages not yet fetched by a worker.",
                sum(self._stores.servers.try_each(lambda each: each.queue.depth())),
            ),
            ("queue_oldest_seconds", "Age of the oldest unfinished job.", metrics.oldest_age_s),
        ):
            yield GaugeMetricFamily(f"darkroom_{name}", text, value=value)
        yield from _ended_jobs({name: by_server[client] for name, client in self._clients() if client in by_server})

    def _clients(self) -> Iterator[tuple[str, StoreClient]]:
        """Yield the name of each Redis server and its client."""
        for server, each in zip(self._stores.settings.redis_servers, self._stores.servers.members, strict=True):
            yield server.name, each.redis

    def _redis(self) -> Metric:
        family = GaugeMetricFamily("darkroom_redis_up", "Whether the Redis server answers.", labels=["server"])
        for name, client in self._clients():
            family.add_metric([name], float(client.is_up()))
        return family

    def _canaries(self) -> Metric:
        canaries = GaugeMetricFamily(
            "darkroom_canary_ok", "Whether the site's last canary produced an image.", labels=["site"]
        )
        names = [recipe.name for recipe in self._stores.recipes.list_all() if recipe.canary]
        for site, outcome in self._stores.canaries.read_outcomes(names).items():
            if outcome:
                canaries.add_metric([site], float(outcome.ok))
        return canaries

    def _workers(self) -> Iterator[Metric]:
        workers = self._stores.workers.list_alive()
        for name, text, attribute in (
            ("browser_up", "Whether the worker's browser is running.", "ready"),
            ("browser_restarts", "Browser starts after the first.", "browser_restarts"),
            ("browser_contexts", "Open browser contexts.", "contexts"),
            ("browser_memory_bytes", "Memory of the browser.", "memory_bytes"),
            ("worker_slots", "Maximum number of jobs the worker runs at once.", "slots"),
            ("worker_jobs", "Jobs the worker is running.", "jobs"),
        ):
            family = GaugeMetricFamily(f"darkroom_{name}", text, labels=["worker"])
            for worker in workers:
                family.add_metric([worker.id], float(getattr(worker, attribute)))
            yield family

    def _processes(self) -> Iterator[Metric]:
        reports = self._stores.process_reports.list_recent()
        values: tuple[tuple[str, str, Callable[[ProcessReport], float]], ...] = (
            (
                "clock_offset_seconds",
                "How far the clock of the process is ahead of that of Redis.",
                lambda report: report.clock_offset_ms / 1000,
            ),
            (
                "disk_full",
                "Whether a disk of the process takes no more data.",
                lambda report: bool(report.disk_problem),
            ),
            ("disk_free_bytes", "Free bytes of the process's fullest disk.", lambda report: report.disk_free_bytes),
        )
        for name, text, read in values:
            family = GaugeMetricFamily(f"darkroom_{name}", text, labels=["process"])
            for report in reports:
                family.add_metric([report.process], float(read(report)))
            yield family


def _ended_jobs(by_server: Mapping[str, JobMetrics]) -> Iterator[Metric]:
    """Yield what only grows, for each server by itself.

    Prometheus takes a sum that falls, because a server is down, for a restart, and its rise for new events.
    """
    ended = CounterMetricFamily("darkroom_jobs_ended", "Finished jobs.", labels=["server", "site", "state", "code"])
    for server, metrics in by_server.items():
        for labels, count in metrics.ended_jobs.items():
            ended.add_metric([server, *labels], count)
    yield ended
    for name, text, histograms in (
        ("pickup", "Time from queued to claimed by a worker.", [each.pickup for each in by_server.values()]),
        ("run", "Time from claimed by a worker to finished.", [each.run for each in by_server.values()]),
    ):
        family = HistogramMetricFamily(f"darkroom_job_{name}_seconds", text, labels=["server"])
        for server, histogram in zip(by_server, align_histograms(histograms), strict=True):
            family.add_metric([server], histogram.buckets, histogram.sum)
        yield family
