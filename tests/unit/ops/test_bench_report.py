"""Targets and reports of benchmarks."""

import json

import pytest

from ops.bench.report import Row, show
from ops.testbed.statistics import percentile


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("free", 5, "ms"), True),
        (Row("fast enough", 5, "ms", max_value=5), True),
        (Row("too slow", 5.1, "ms", max_value=5), False),
        (Row("enough of the baseline", 50, "a second", 100, min_value=0.5, judge_ratio=True), True),
        (Row("too little of the baseline", 49, "a second", 100, min_value=0.5, judge_ratio=True), False),
        (Row("no baseline to judge by", 49, "a second", min_value=0.5, judge_ratio=True), False),
    ],
)
def test_a_target_is_met_or_not(row: Row, met: bool) -> None:
    """Targets apply to the value or to its ratio to the baseline."""
    assert row.is_met is met


def test_a_report_is_a_table_and_a_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """``show`` returns False if one target is missed."""
    assert show("good", [Row("a", 1, "ms", 2, max_value=1)])
    assert not show("bad", [Row("a", 1, "ms", 2, max_value=1), Row("b", 2, "ms", max_value=1)])

    out = capsys.readouterr().out
    assert "MISSED" in out
    reports = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert [(report["bench"], [row["met"] for row in report["rows"]]) for report in reports] == [
        ("good", [True]),
        ("bad", [True, False]),
    ]
    assert reports[0]["rows"][0]["ratio"] == 0.5


def test_percentiles_are_measured_values() -> None:
    """With 101 values, each percentile is one of them."""
    values = list(range(100, -1, -1))

    assert [percentile(values, percent) for percent in (0, 50, 99, 100)] == [0, 50, 99, 100]
