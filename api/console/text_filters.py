"""Jinja filters of the sections: times, sizes and durations in words."""

from datetime import UTC, datetime

from flask import Blueprint
from markupsafe import Markup, escape

from api.http.context import stores

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400
SIZE_UNITS = ("B", "kB", "MB", "GB", "TB")
SIZE_BASE = 1000
# Shown where there is no value.
NONE = "\N{EN DASH}"


def add_text_filters(blueprint: Blueprint) -> None:
    """Make the filters available to templates of the application that registers ``blueprint``."""
    for name, text_filter in FILTERS.items():
        blueprint.add_app_template_filter(text_filter, name)


def format_time(time_ms: int | None) -> Markup:
    """Return a ``time`` element: how long ago it is, or in how long, with the exact time as its title."""
    if time_ms is None:
        return escape(NONE)
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    words = format_age((stores().clock.now_ms() - time_ms) / 1000)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        moment.isoformat(timespec="milliseconds"), f"{moment:%Y-%m-%d %H:%M:%S}", words
    )


def format_age(seconds: float) -> str:
    """Return how long ago something happened; a negative age is in the future."""
    if abs(seconds) < 1:
        return "now"
    words = format_duration(round(abs(seconds)))
    return f"{words} ago" if seconds > 0 else f"in {words}"


def format_duration(seconds: float | None) -> str:
    """Return a duration with one or two units."""
    if seconds is None:
        return NONE
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "under 1 ms"
    if seconds < 10:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    for unit_s, unit, smaller_s, smaller in ((DAY_S, "d", HOUR_S, "h"), (HOUR_S, "h", MINUTE_S, "min")):
        if seconds >= unit_s:
            rest = int(seconds % unit_s // smaller_s)
            return f"{int(seconds // unit_s)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{int(seconds // MINUTE_S)} min" if seconds >= 2 * MINUTE_S else f"{seconds:.0f} s"


def format_size(size_bytes: float | None) -> str:
    """Return a number of bytes in decimal units."""
    if size_bytes is None:
        return NONE
    size, unit = float(size_bytes), 0
    while size >= SIZE_BASE and unit < len(SIZE_UNITS) - 1:
        size, unit = size / SIZE_BASE, unit + 1
    return f"{size:.0f} {SIZE_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {SIZE_UNITS[unit]}"


def format_count(number: int) -> str:
    """Return a number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


FILTERS = {
    "time": format_time,
    "duration": format_duration,
    "size": format_size,
    "count_text": format_count,
}
