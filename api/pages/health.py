"""The answer to whether Darkroom works: a list of pings, asked at most once a second."""

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from flask import Response, current_app, jsonify

from api.http.auth import authenticate
from api.http.context import stores
from api.http.rate_limits import count_anonymous, count_caller
from api.sites.views import canary_view, circuit_view
from ops.infra.version import VERSION
from schemas.errors import ServiceError, Unavailable
from stores import Stores

CACHE_TTL_S = 1.0


@dataclass(slots=True)
class HealthReport:
    """What the pings said, and until when that is believed."""

    parts: dict[str, dict[str, Any]]
    expires_at: float


_report_lock = threading.Lock()


def health_response() -> Response:
    """200 and OK, or 503, DEGRADED and what fails; with a key the details of every part."""
    knows_key = _is_authenticated()
    parts = _current_report(stores()).parts
    failing = [name for name, part in parts.items() if not part["ok"]]
    body: dict[str, Any] = {"status": "DEGRADED", "failing": failing} if failing else {"status": "OK"}
    if knows_key:
        body |= {"version": VERSION} | parts
    response = jsonify(body)
    response.status_code = 503 if failing else 200
    response.headers["Cache-Control"] = "no-store"
    return response


def _is_authenticated() -> bool:
    try:
        caller = authenticate()
        count_caller(caller) if caller else count_anonymous()
    except Unavailable:
        # The database that knows keys is down: that is what the answer is about.
        return False
    return caller is not None


def _current_report(stores: Stores) -> HealthReport:
    kept: HealthReport | None = current_app.extensions.get("health")
    if kept and kept.expires_at > time.monotonic():
        return kept
    with _report_lock:
        pings = {"redis": _redis, "database": _database, "queue": _queue, "workers": _workers, "sites": _sites}
        report = HealthReport(
            {name: _ping(ping, stores) for name, ping in pings.items()}, time.monotonic() + CACHE_TTL_S
        )
        current_app.extensions["health"] = report
    return report


def _ping(ping: Callable[[Stores], dict[str, Any]], stores: Stores) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        details = ping(stores)
    except ServiceError as error:
        return {"ok": False, "error": error.message}
    return {"ok": True, "latencyMs": round((time.perf_counter() - began) * 1000, 2)} | details


def _redis(stores: Stores) -> dict[str, Any]:
    stores.ping_redis()
    return {}


def _database(stores: Stores) -> dict[str, Any]:
    stores.ping_database()
    return {}


def _queue(stores: Stores) -> dict[str, Any]:
    measures = stores.metrics.read()
    return {
        "messages": stores.queue.depth(),
        "waiting": measures.waiting,
        "running": measures.running,
        "oldestSeconds": round(measures.oldest_age_s, 1),
        "maximum": stores.settings.max_queue_size,
    }


def _workers(stores: Stores) -> dict[str, Any]:
    alive = stores.workers.list_alive()
    ready = [worker for worker in alive if worker.ready]
    details = [asdict(worker) for worker in alive]
    return {"ok": bool(ready), "alive": len(alive), "ready": len(ready), "workers": details}


def _sites(stores: Stores) -> dict[str, Any]:
    names = [recipe.name for recipe in stores.recipes.list_all()]
    circuits = stores.circuit_breakers.read(names)
    canaries = stores.canaries.read_outcomes(names)
    shown = {
        name: {"circuit": circuit_view(circuit), "canary": canary_view(canaries[name])}
        for name, circuit in circuits.items()
    }
    return {"default": stores.recipes.default.name, "sites": shown}
