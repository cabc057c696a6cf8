"""The logs of the processes behind the queue."""

import json

import pytest

from tests.integration.conftest import Deployment


@pytest.mark.parametrize("role", ["worker", "background", "clock"])
def test_every_line_is_json(deployment: Deployment, role: str) -> None:
    """On stdout and stderr, with the process's name, after a job has ended."""
    deployment.app.wait_for_end(deployment.app.submit())
    lines = [json.loads(line) for line in deployment.log(role).splitlines()]
    assert {line["process"] for line in lines} == {role}
