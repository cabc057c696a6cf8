"""A short chaos, with a fixed plan: nothing is lost, doubled, mixed up or left behind."""

import json
import subprocess

import pytest

from tests.acceptance.conftest import SCRIPT, environment


@pytest.mark.timeout(420)
def test_a_minute_under_fire() -> None:
    """The command says so by its exit code, and everything that was accepted has ended."""
    done = subprocess.run(
        [SCRIPT, "chaos", "--minutes", "1", "--seed", "7"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    said = json.loads(done.stdout.strip().splitlines()[-1])
    found = said["chaos"]

    assert (said["good"], found["accepted"], sum(found["faults"].values()) > 5) == (True, found["submitted"], True)
    assert found["completed"] + sum(found["failed"].values()) == found["accepted"]
    assert found["completed"] > found["accepted"] / 2
