"""What a bench tells: rows with figures, a target for some of them, a table for people and JSON for programs."""

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
    """A figure, the baseline's of the same run, and what must be reached: ``most`` or ``least``, of figure or ratio."""

    name: str
    ours: float
    unit: str
    baseline: float | None = None
    max_value: float | None = None
    min_value: float | None = None
    judge_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        """Ours as a part of the baseline."""
        return self.ours / self.baseline if self.baseline else None

    @property
    def is_met(self) -> bool:
        """Whether the target is reached; true where there is none."""
        figure = self.ratio if self.judge_ratio else self.ours
        if figure is None:
            return False
        return (self.max_value is None or figure <= self.max_value) and (
            self.min_value is None or figure >= self.min_value
        )

    @property
    def target(self) -> str:
        """The target in words."""
        kind = " of baseline" if self.judge_ratio else f" {self.unit}"
        if self.max_value is not None:
            return f"≤ {self.max_value:g}{kind}"
        return f"≥ {self.min_value:g}{kind}" if self.min_value is not None else ""


def show(name: str, rows: Iterable[Row]) -> bool:
    """Print the rows as a table and as JSON; whether every target is reached."""
    rows = list(rows)
    table = Table("", "Darkroom", "baseline", "ratio", "target", "", title=f"bench {name}")
    for row in rows:
        ratio = f"{row.ratio:.3g}" if row.ratio is not None else ""
        verdict = ("met" if row.is_met else "MISSED") if row.target else ""
        table.add_row(
            row.name,
            _format_value(row.ours, row.unit),
            _format_value(row.baseline, row.unit),
            ratio,
            row.target,
            verdict,
        )
    Console(width=120).print(table)
    machine = {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}
    click.echo(
        json.dumps(
            {
                "bench": name,
                "machine": machine,
                "rows": [asdict(row) | {"ratio": row.ratio, "met": row.is_met} for row in rows],
            }
        )
    )
    return all(row.is_met for row in rows if row.target)


def _format_value(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.4g} {unit}"
