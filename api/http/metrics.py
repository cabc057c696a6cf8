"""``/metrics``: this process's HTTP latencies, and the whole fleet's jobs, queue and browsers from Redis."""

import os
from collections.abc import Iterator

from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RoutePolicy
from stores import Stores

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60)
MULTIPROCESS_DIR_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

blueprint = Blueprint("metrics", __name__, access=Access.KEY, description="Metrics for Prometheus.")

http_seconds = Histogram(
    "darkroom_http_request_seconds", "Time to answer, by route.", ["route", "method", "status"], buckets=BUCKETS_S
)


def observe_request(route: str, method: str, status: int, seconds: float) -> None:
    """Count an answered request."""
    http_seconds.labels(route, method, str(status)).observe(seconds)


@blueprint.route("/metrics", policy=RoutePolicy(is_logged=False))
@blueprint.response(200, description="Prometheus text format.", content_type="text/plain")
def metrics() -> Response:
    """Jobs by state and site, queue depth and age, pick-up and run times, browsers, contexts, HTTP latencies."""
    fleet = CollectorRegistry()
    fleet.register(_SharedMetricsCollector(stores()))
    return Response(generate_latest(_http_registry()) + generate_latest(fleet), content_type=CONTENT_TYPE_LATEST)


def _http_registry() -> CollectorRegistry:
    if MULTIPROCESS_DIR_VARIABLE not in os.environ:
        return REGISTRY
    shared = CollectorRegistry()
    MultiProcessCollector(shared)
    return shared


class _SharedMetricsCollector:
    """The figures that all processes share."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def collect(self) -> Iterator[Metric]:
        measures = self._stores.metrics.read()
        jobs = GaugeMetricFamily("darkroom_jobs", "Unfinished jobs.", labels=["site", "state"])
        for (site, state), number in measures.open_jobs.items():
            jobs.add_metric([site, state], number)
        yield jobs
        ended = CounterMetricFamily("darkroom_jobs_ended", "Finished jobs.", labels=["site", "state", "code"])
        for labels, number in measures.ended_jobs.items():
            ended.add_metric(list(labels), number)
        yield ended
        yield GaugeMetricFamily("darkroom_queue_depth", "Jobs that wait.", value=measures.waiting)
        yield GaugeMetricFamily(
            "darkroom_queue_messages", "Messages not yet fetched.", value=self._stores.queue.depth()
        )
        yield GaugeMetricFamily("darkroom_queue_oldest_seconds", "Age of the oldest job.", value=measures.oldest_age_s)
        for name, text, histogram in (
            ("pickup", "From the queue to a worker.", measures.pickup),
            ("run", "From a worker to the end.", measures.run),
        ):
            yield HistogramMetricFamily(f"darkroom_job_{name}_seconds", text, histogram.buckets, histogram.sum)
        yield self._canaries()
        yield from self._browsers()

    def _canaries(self) -> Metric:
        canaries = GaugeMetricFamily(
            "darkroom_canary_ok", "Whether the site's last canary got a picture.", labels=["site"]
        )
        names = [recipe.name for recipe in self._stores.recipes.list_all() if recipe.canary]
        for site, outcome in self._stores.canaries.read_outcomes(names).items():
            if outcome:
                canaries.add_metric([site], float(outcome.ok))
        return canaries

    def _browsers(self) -> Iterator[Metric]:
        alive = self._stores.workers.list_alive()
        for name, text, attribute in (
            ("browser_up", "Whether the worker's browser runs.", "ready"),
            ("browser_restarts", "Browsers started after the first.", "browser_restarts"),
            ("browser_contexts", "Open browser contexts.", "contexts"),
            ("browser_memory_bytes", "Memory of the browser.", "memory_bytes"),
            ("worker_slots", "Jobs the worker may have in hand.", "slots"),
            ("worker_jobs", "Jobs the worker has in hand.", "jobs"),
        ):
            family = GaugeMetricFamily(f"darkroom_{name}", text, labels=["worker"])
            for worker in alive:
                family.add_metric([worker.id], float(getattr(worker, attribute)))
            yield family
