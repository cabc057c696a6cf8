"""The report of a benchmark: rows of values with targets, as a table for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import click
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """A value of Darkroom, that of the baseline in the same run, and the target, if there is one.

    The target bounds the value, or with ``judge_ratio`` its ratio to the baseline.
    """

    name: str
    ours: float
    unit: str
    baseline: float | None = None
    max_value: float | None = None
    min_value: float | None = None
    judge_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        """The value divided by the baseline."""
        return self.ours / self.baseline if self.baseline else None

    @property
    def is_met(self) -> bool:
        """Whether the target is met; True without a target."""
        value = self.ratio if self.judge_ratio else self.ours
        if value is None:
            return False
        return (self.max_value is None or value <= self.max_value) and (
            self.min_value is None or value >= self.min_value
        )

    @property
    def target(self) -> str:
        """The target as text; empty if there is none."""
        unit = " of baseline" if self.judge_ratio else f" {self.unit}"
        if self.max_value is not None:
            return f"≤ {self.max_value:g}{unit}"
        return f"≥ {self.min_value:g}{unit}" if self.min_value is not None else ""


def show(name: str, rows: Iterable[Row], *, check_targets: bool = True) -> bool:
    """Print the rows as a table and as a line of JSON; return whether every target is met.

    Without ``check_targets`` the targets are left out and the result is True.
    """
    rows = list(rows)
    table = Table("", "Darkroom", "baseline", "ratio", "target", "", title=f"bench {name}")
    for row in rows:
        ratio = f"{row.ratio:.3g}" if row.ratio is not None else ""
        target = row.target if check_targets else ""
        result = ("met" if row.is_met else "MISSED") if target else ""
        values = _format_value(row.ours, row.unit), _format_value(row.baseline, row.unit)
        table.add_row(row.name, *values, ratio, target, result)
    Console(width=120).print(table)
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    results = [asdict(row) | {"ratio": row.ratio} | ({"met": row.is_met} if check_targets else {}) for row in rows]
    click.echo(json.dumps({"bench": name, "machine": machine, "rows": results}))
    return not check_targets or all(row.is_met for row in rows if row.target)


def _format_value(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}"
