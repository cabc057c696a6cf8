"""The System section: health, workers, plots of the last hours, storage, versions, and the settings in force."""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flask import Response, request

from api.console.forms import sees_everything
from api.console.page import render, section_blueprint
from api.console.plots import LinePlot, plot_lines
from api.console.sections import SYSTEM
from api.console.text_filters import add_text_filters, format_duration
from api.http.context import stores
from api.pages.health import current_parts
from ops.infra.setting_sources import describe_settings
from ops.infra.version import VERSION
from schemas.errors import ServiceError
from stores.jobs.metrics_history import HistoryPoint

HOURS = (1, 3, 12)
DEFAULT_HOURS = 3
HOUR_S = 3600
POINTS = 120
PART_TITLES = {
    "redis": "Redis",
    "database": "Database",
    "disk": "Disk",
    "queue": "Queue",
    "workers": "Workers",
    "clocks": "Clocks",
    "sites": "Sites",
}

blueprint = section_blueprint("system")
add_text_filters(blueprint)


@blueprint.route(SYSTEM.path)
def overview() -> Response:
    """Show the section; ``hours`` is the time that the plots span. With ``part=live`` only what changes is sent."""
    hours = request.args.get("hours", DEFAULT_HOURS, type=int)
    hours = hours if hours in HOURS else DEFAULT_HOURS
    is_part = request.args.get("part") == "live"
    return render(
        "system/live.html" if is_part else "system/index.html",
        section=SYSTEM,
        title=SYSTEM.title,
        parts=[(PART_TITLES[name], part, _remark(name, part)) for name, part in current_parts(stores()).items()],
        workers=_attempt(stores().workers.list_alive, []),
        processes=_attempt(stores().process_reports.list_recent, []) if sees_everything() else [],
        hours=hours,
        choices=HOURS,
        duration=format_duration,
        shows_all=sees_everything(),
        **_plots(hours),
        **({} if is_part else _facts()),
    )


def _remark(name: str, part: dict[str, Any]) -> str:
    """Return a remark about a part for the reader."""
    if part.get("error"):
        return str(part["error"])
    if name == "disk":
        return " ".join(part["problems"].values()) if sees_everything() else ""
    if name == "queue":
        return f"{part['waiting']} waiting, {part['running']} running, at most {part['maximum']}"
    if name == "workers":
        return f"{part['ready']} of {part['alive']} ready" if part["alive"] else "No worker is running."
    if name == "sites":
        closed = [site for site, each in part["sites"].items() if each["circuit"]["state"] == "open"]
        return f"Paused after failures: {', '.join(closed)}" if closed else "No site is paused."
    return str(part.get("warning") or "")


def _attempt(read: Any, otherwise: Any) -> Any:
    """Return what ``read`` returns; ``otherwise`` while its server does not answer, which the health part says."""
    try:
        return read()
    except ServiceError:
        return otherwise


def _plots(hours: int) -> dict[str, Any]:
    points: list[HistoryPoint] = _attempt(lambda: stores().metrics_history.read(hours * HOUR_S, POINTS), [])
    end_ms = stores().clock.now_ms()
    times, start_ms = [point.at_ms for point in points], end_ms - hours * HOUR_S * 1000

    def plot(*lines: tuple[str, Sequence[float | None]]) -> LinePlot:
        return plot_lines(times, lines, start_ms, end_ms)

    codes: dict[str, int] = {}
    for point in points:
        for code, count in point.failed.items():
            codes[code] = codes.get(code, 0) + count
    return {
        "depth": plot(("waiting", [p.waiting for p in points]), ("running", [p.running for p in points])),
        "pickup": plot(*_quantile_lines([p.pickup_s for p in points])),
        "run": plot(*_quantile_lines([p.run_s for p in points])),
        "ends": plot(("done", [p.completed for p in points]), ("failed", [sum(p.failed.values()) for p in points])),
        "codes": sorted(codes.items(), key=lambda item: -item[1]),
    }


def _quantile_lines(values: Sequence[tuple[float, float] | None]) -> tuple[tuple[str, list[float | None]], ...]:
    return (
        ("median", [None if value is None else value[0] for value in values]),
        ("95 of 100 are faster than", [None if value is None else value[1] for value in values]),
    )


def _facts() -> dict[str, Any]:
    """Return storage, versions and settings, for those who may see them."""
    settings = stores().settings
    info: dict[str, Any] = _attempt(stores().redis.info, {})
    dialect = stores().engine.dialect
    server = "" if dialect.name == "sqlite" else ".".join(map(str, getattr(dialect, "server_version_info", None) or ()))
    file = Path(settings.database_url.removeprefix("sqlite:///"))
    return {
        "versions": {
            "Darkroom": VERSION,
            "Python": platform.python_version(),
            "Redis": _redis_version(info),
            "Database": f"{dialect.name} {server}".strip(),
        },
        "storage": {
            "Free on the fullest disk": stores().disk.free_bytes(),
            "Redis, in memory": int(info.get("used_memory", 0)),
            "Database file": file.stat().st_size if dialect.name == "sqlite" and file.is_file() else None,
        },
        "settings": describe_settings(settings) if sees_everything() else [],
    }


def _redis_version(info: dict[str, Any]) -> str:
    return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version', '')}"
