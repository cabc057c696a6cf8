"""Log lines."""

import json

import pytest
import structlog

from ops.infra.logging import configure_logging


def test_a_line_is_json_with_what_is_bound_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """Context is there, keys are not."""
    configure_logging("worker", style="json")
    with structlog.contextvars.bound_contextvars(job_id="j1", attempt=2):
        structlog.get_logger("test").info("something.happened", api_key="hunter2", token="hunter2", site="studio")

    line = json.loads(capsys.readouterr().out)

    assert tuple(line[name] for name in ("event", "process", "job_id", "attempt", "site")) == (
        "something.happened",
        "worker",
        "j1",
        2,
        "studio",
    )
    assert "hunter2" not in json.dumps(line)


def test_debug_lines_stay_away_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts are logged at debug only."""
    configure_logging("worker", level="info", style="json")
    structlog.get_logger("test").debug("job.prompt", prompt="a secret lighthouse")

    assert "lighthouse" not in capsys.readouterr().out
