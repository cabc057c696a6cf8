"""The format of log lines."""

import json

import pytest
import structlog

from ops.infra.logging import configure_logging


def test_a_line_is_json_with_context_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """Bound context variables are included, secret fields are redacted."""
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


def test_debug_lines_are_dropped_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Prompts are logged at debug level, which is off by default."""
    configure_logging("worker", level="info", style="json")
    structlog.get_logger("test").debug("job.prompt", prompt="a secret lighthouse")

    assert "lighthouse" not in capsys.readouterr().out
