"""Every benchmark runs in its smallest form."""

import json
import subprocess

import pytest

from ops.bench.command import PACKAGES
from tests.acceptance.conftest import SCRIPT, environment


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PACKAGES)
def test_a_benchmark_runs_in_its_smallest_form(name: str) -> None:
    """``--smoke`` measures every row and checks no target."""
    process = subprocess.run(
        [SCRIPT, "bench", name, "--smoke"], env=environment(), capture_output=True, text=True, timeout=280, check=False
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-4000:]
    report = json.loads(process.stdout.strip().splitlines()[-1])
    assert report["bench"] == name
    assert report["rows"]
    assert all("met" not in row for row in report["rows"])
