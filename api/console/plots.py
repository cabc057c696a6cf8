"""Geometry of the plots that the server draws as SVG: bars by day, lines over time.

Coordinates are in units of the plot's ``viewBox``; y grows downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 160
# Space for the numbers of the axes.
LEFT, BOTTOM, TOP = 44, 20, 8
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its label."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the plot, or a mark below it, with its text."""

    position: float
    label: str


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Bars side by side, and the lines behind them."""

    bars: list[Bar]
    lines: list[Tick]
    total: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a plot: its parts between gaps, as ``points`` of SVG, and its last and highest value."""

    name: str
    parts: list[str]
    last: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Lines over time, with the lines behind them and the times below."""

    lines: list[Line]
    levels: list[Tick]
    times: list[Tick]

    @property
    def is_empty(self) -> bool:
        """Whether no line has a value."""
        return all(line.last is None for line in self.lines)


def plot_bars(values: Sequence[tuple[str, int]]) -> BarPlot:
    """Return bars for labelled numbers."""
    maximum = max((value for _, value in values), default=0)
    top, levels = _levels(maximum)
    slot = (WIDTH - LEFT) / max(1, len(values))
    bars = []
    for index, (label, value) in enumerate(values):
        height = (HEIGHT - BOTTOM - TOP) * value / top
        bars.append(
            Bar(
                round(LEFT + index * slot + slot * 0.12, 1),
                round(HEIGHT - BOTTOM - height, 1),
                round(slot * 0.76, 1),
                round(height, 1),
                label,
                value,
            )
        )
    return BarPlot(bars, levels, sum(value for _, value in values), maximum)


def plot_lines(
    times_ms: Sequence[int], lines: Sequence[tuple[str, Sequence[float | None]]], start_ms: int, end_ms: int
) -> LinePlot:
    """Return lines of values at the same times; None is a gap. The plot spans from ``start_ms`` to ``end_ms``."""
    known = [value for _, values in lines for value in values if value is not None]
    top, levels = _levels(max(known, default=0.0))
    span = max(1, end_ms - start_ms)
    xs = [round(LEFT + (WIDTH - LEFT) * min(1.0, max(0.0, (time - start_ms) / span)), 1) for time in times_ms]
    drawn = []
    for name, values in lines:
        present = [value for value in values if value is not None]
        parts = _parts([(x, value) for x, value in zip(xs, values, strict=True)], top)
        drawn.append(Line(name, parts, present[-1] if present else None, max(present, default=None)))
    return LinePlot(drawn, levels, _hours(start_ms, end_ms))


def _parts(points: Sequence[tuple[float, float | None]], top: float) -> list[str]:
    parts: list[list[str]] = [[]]
    for x, value in points:
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{x},{_y(value, top)}")
    # A single point has no length, so it is drawn as a short line.
    return [" ".join(part if len(part) > 1 else part * 2) for part in parts if part]


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top, 1)


def _levels(maximum: float) -> tuple[float, list[Tick]]:
    """Return the top of the plot, a round number, and three levels up to it."""
    if maximum <= 0:
        return 1.0, [Tick(HEIGHT - BOTTOM, "0")]
    unit = 10 ** math.floor(math.log10(maximum))
    top = next(step * unit for step in STEPS if step * unit >= maximum)
    return top, [Tick(_y(top * share, top), f"{top * share:g}") for share in (0, 0.5, 1)]


def _hours(start_ms: int, end_ms: int) -> list[Tick]:
    """Return marks at the start, the middle and the end, as hours before the end."""
    hours = (end_ms - start_ms) / 3_600_000
    texts = (f"{hours:g} h ago", f"{hours / 2:g} h ago", "now")
    return [Tick(LEFT + (WIDTH - LEFT) * share, text) for share, text in zip((0, 0.5, 1), texts, strict=True)]
