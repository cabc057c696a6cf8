"""Health of Redis, the database, the queue, workers and sites. Reports are cached for ``CACHE_TTL_S``."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import structlog
from flask import Response, current_app, jsonify

from api.http.auth import authenticate
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.rate_limits import count_anonymous, count_caller
from api.http.route_policy import KEY_SECURITY, Access, RateLimit, RoutePolicy
from api.http.session_cookie import session_caller
from api.pages.health_responses import HealthView, LivenessView
from api.sites.serializers import canary_view, circuit_view
from ops.infra.version import VERSION
from schemas.errors import ServiceError, Unauthorized, Unavailable
from stores import Stores
from stores.queue.process_reports import ProcessReport, process_name

CACHE_TTL_S = 1.0
POLICY = RoutePolicy(access=Access.CHECKED_BY_VIEW, rate_limit=RateLimit.STATUS, is_logged=False)

blueprint = Blueprint("health", __name__, access=Access.CHECKED_BY_VIEW, description="The health of Darkroom.")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The state of each part, and the monotonic time until which it may be reused."""

    parts: dict[str, dict[str, Any]]
    expires_at: float


_report_lock = threading.Lock()


@blueprint.route("/health", policy=POLICY)
@blueprint.doc(security=[{}, *KEY_SECURITY])
@blueprint.response(200, HealthView, description="All parts work. With a key, also the state of every part.")
@blueprint.alt_response(503, schema=HealthView, description="`failing` names the parts that do not work.")
@blueprint.sends(Unauthorized)
def read() -> Response:
    """The health of Darkroom. `warnings` names parts that work and need attention."""
    show_details = _is_authenticated()
    parts = current_parts(stores())
    failing = [name for name, part in parts.items() if not part["ok"]]
    body: dict[str, Any] = {"status": "DEGRADED", "failing": failing} if failing else {"status": "OK"}
    if warnings := [name for name, part in parts.items() if part.get("warning")]:
        body["warnings"] = warnings
    if show_details:
        body |= {"version": VERSION} | parts
    response = jsonify(body)
    response.status_code = 503 if failing else 200
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.route("/health/live", policy=POLICY)
@blueprint.doc(security=[])
@blueprint.response(200, LivenessView, description="This web process answers.")
def read_liveness() -> Response:
    """Whether this web process answers, whatever else fails; for load balancers and probes."""
    # Neither authenticated nor counted: both need Redis or the database.
    response = jsonify(status="OK")
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_authenticated() -> bool:
    try:
        caller = authenticate() or session_caller()
        count_caller(caller) if caller else count_anonymous()
    except Unavailable:
        # The key cannot be checked while the database is down, and this route has to report just that.
        return False
    return caller is not None


def current_parts(stores: Stores) -> dict[str, dict[str, Any]]:
    """Return the state of each part, at most ``CACHE_TTL_S`` old."""
    return _current_report(stores).parts


def _current_report(stores: Stores) -> HealthReport:
    if report := _cached_report():
        return report
    with _report_lock:
        # Another thread may have made a report while this one waited for the lock.
        if report := _cached_report():
            return report
        checks = {
            "redis": _redis,
            "database": _database,
            "disk": _disk,
            "queue": _queue,
            "workers": _workers,
            "clocks": _clocks,
            "sites": _sites,
        }
        parts = {name: _run_check(check, stores) for name, check in checks.items()}
        report = current_app.extensions["health"] = HealthReport(parts, time.monotonic() + CACHE_TTL_S)
    return report


def _cached_report() -> HealthReport | None:
    report: HealthReport | None = current_app.extensions.get("health")
    return report if report and report.expires_at > time.monotonic() else None


def _run_check(check: Callable[[Stores], dict[str, Any]], stores: Stores) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        details = check(stores)
    except ServiceError as error:
        log.warning("health.failing", part=check.__name__.strip("_"), error=str(error))
        return {"ok": False, "error": error.message}
    return {"ok": True, "latencyMs": round((time.perf_counter() - began) * 1000, 2)} | details


def _redis(stores: Stores) -> dict[str, Any]:
    """Report the Redis servers; several work as long as one of them does, for its callers."""
    if len(stores.servers) == 1:
        stores.ping_redis()
        return {}
    servers = {each.name: each.redis.is_up() for each in stores.servers.members}
    silent = [name for name, is_up in servers.items() if not is_up]
    warning = f"Redis does not answer at {', '.join(silent)}: its callers get 503." if silent else ""
    reports = [{"name": name, "ok": is_up} for name, is_up in servers.items()]
    return {"ok": len(silent) < len(servers), "warning": warning, "servers": reports}


def _database(stores: Stores) -> dict[str, Any]:
    stores.ping_database()
    return {}


def _disk(stores: Stores) -> dict[str, Any]:
    """Report the disks of this process and of background processes; a worker without room is not ready."""
    reports = [report for report in _recent_reports(stores) if report.role == "background"]
    problems = {process_name("web"): stores.disk.problem()} | {
        report.process: report.disk_problem for report in reports
    }
    found = {process: problem for process, problem in problems.items() if problem}
    return {"ok": not found, "freeBytes": stores.disk.free_bytes(), "problems": found}


def _recent_reports(stores: Stores) -> list[ProcessReport]:
    """Return the reports of all processes; none while Redis, which has a part of its own, does not answer."""
    with contextlib.suppress(Unavailable):
        return stores.process_reports.list_recent()
    return []


def _clocks(stores: Stores) -> dict[str, Any]:
    reports = _recent_reports(stores)
    offsets = {report.process: report.clock_offset_ms / 1000 for report in reports}
    wrong = [
        f"The clock of {report.process} is {abs(report.clock_offset_ms) / 1000:.1f} s "
        f"{'ahead of' if report.clock_offset_ms > 0 else 'behind'} that of Redis; synchronise it."
        for report in reports
        if report.is_clock_off
    ]
    return {"warning": " ".join(wrong), "offsetSeconds": offsets}


def _queue(stores: Stores) -> dict[str, Any]:
    metrics = stores.metrics.read()
    return {
        "messages": sum(stores.servers.try_each(lambda each: each.queue.depth())),
        "waiting": metrics.waiting,
        "running": metrics.running,
        "oldestSeconds": round(metrics.oldest_age_s, 1),
        "maximum": stores.settings.max_queue_size,
    }


def _workers(stores: Stores) -> dict[str, Any]:
    alive = stores.workers.list_alive()
    ready = sum(worker.ready for worker in alive)
    return {"ok": ready > 0, "alive": len(alive), "ready": ready, "workers": [asdict(worker) for worker in alive]}


def _sites(stores: Stores) -> dict[str, Any]:
    names = [recipe.name for recipe in stores.recipes.list_all()]
    circuits = stores.circuit_breakers.read(names)
    canaries = stores.canaries.read_outcomes(names)
    sites = {
        name: {"circuit": circuit_view(circuit), "canary": canary_view(canaries[name])}
        for name, circuit in circuits.items()
    }
    return {"default": stores.recipes.default.name, "sites": sites}
