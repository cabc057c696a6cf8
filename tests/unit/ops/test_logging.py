"""The format of log lines."""

import json
from urllib.parse import quote

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


def test_keys_are_removed_from_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Configured and generated ones, wherever they are, as they are and as URLs escape them; other ids stay."""
    configured, generated = 'a "key" of 100%', "0123456789ABCDEF" * 4
    configure_logging("web", style="json", secrets=[configured, None])
    log = structlog.get_logger("test")
    log.info("request", path=f"/status/{configured}", names=[quote(configured), {"deep": quote(configured, safe="")}])
    event = f"Key {generated}."
    log.info(event, issued=f"dr_0a1b2c3d4e5f_{generated.lower()}", job_id="ab" * 16)
    log.error("failed", exc_info=RuntimeError(configured))

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["path"] == "/status/[hidden]"
    assert lines[0]["names"] == ["[hidden]", {"deep": "[hidden]"}]
    assert (lines[1]["event"], lines[1]["issued"], lines[1]["job_id"]) == ("Key [hidden].", "[hidden]", "ab" * 16)
    assert "[hidden]" in lines[2]["exception"]
    assert not any(word in json.dumps(lines) for word in (configured, "key%22", generated))
