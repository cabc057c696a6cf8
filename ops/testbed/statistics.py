"""Statistics of measured values."""

from collections.abc import Sequence


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the measured value nearest to the given rank (no interpolation)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(percent / 100 * (len(ordered) - 1)))]
