"""A minute of fault injection with a fixed seed."""

import json
import subprocess

import pytest

from tests.acceptance.conftest import SCRIPT, environment


@pytest.mark.timeout(600)
def test_a_minute_of_faults_violates_nothing() -> None:
    """The command exits with 0, and every accepted job has ended."""
    process = subprocess.run(
        [SCRIPT, "chaos", "--minutes", "1", "--seed", "7"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout[-4000:]
    report = json.loads(process.stdout.strip().splitlines()[-1])
    counts = report["chaos"]

    assert (report["good"], counts["accepted"], sum(counts["faults"].values()) > 5) == (True, counts["submitted"], True)
    assert counts["completed"] + sum(counts["failed"].values()) == counts["accepted"]
    assert counts["completed"] > counts["accepted"] / 2
