"""The commands in README.md work as printed."""

import json
import re
import signal
import subprocess
from pathlib import Path

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port
from tests.acceptance.conftest import SCRIPT, environment
from tests.conftest import eventually

README = (ROOT / "README.md").read_text()


def blocks() -> list[str]:
    """Return the shell blocks of the README, in order."""
    return re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_steps_work_as_printed(folder: Path) -> None:
    """The commands lead from an empty folder to the first image; only the port is replaced."""
    (folder / "darkroom").symlink_to(SCRIPT)
    port = str(free_port())
    start, curl, generate, *_ = blocks()
    up, test = (line.split("#")[0].strip() for line in start.splitlines())
    with (folder / "output").open("wb") as out:
        running = subprocess.Popen(up.split(), cwd=folder, env=environment(PORT=port), stdout=out, stderr=out)
    try:
        eventually(
            lambda: f"Darkroom is ready at http://127.0.0.1:{port}" in (folder / "output").read_text(), timeout_s=100
        )
        submitted = shell(curl.replace("3000", port), folder)
        output = shell(generate, folder)
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0

    assert json.loads(submitted)["success"]
    assert output.strip() == "lighthouse.png"
    assert (folder / "lighthouse.png").read_bytes().startswith(b"\x89PNG")
    # The second command runs this very test; CI runs it too.
    assert test == "./darkroom test"
    assert f"exec {test}" in (ROOT / ".ci" / "run").read_text()


def test_the_worker_command_is_in_the_procfile() -> None:
    """The README's command for more workers is a line of the Procfile."""
    command = blocks()[3].split("postgres://… ")[1].strip()

    assert f"worker: {command}\n" in (ROOT / "Procfile").read_text()


def shell(script: str, folder: Path) -> str:
    """Run a shell block and return its output; it must succeed."""
    process = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
