"""The README's commands, run as they stand."""

import json
import re
import signal
import subprocess
from pathlib import Path

from ops.infra.settings import ROOT
from tests.acceptance.conftest import SCRIPT, environment, free_port
from tests.conftest import eventually

README = (ROOT / "README.md").read_text()


def blocks() -> list[str]:
    """The shell blocks of the README, in order."""
    return re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_first_steps_work_as_they_stand(folder: Path) -> None:
    """From ``./darkroom up`` to the first picture, from an empty folder; only the port may differ."""
    (folder / "darkroom").symlink_to(SCRIPT)
    port = str(free_port())
    start, curl, generate, *_ = blocks()
    up, test = (line.split("#")[0].strip() for line in start.splitlines())
    with (folder / "output").open("wb") as out:
        running = subprocess.Popen(up.split(), cwd=folder, env=environment(PORT=port), stdout=out, stderr=out)
    try:
        eventually(
            lambda: f"Darkroom is ready at http://127.0.0.1:{port}" in (folder / "output").read_text(), timeout_s=60
        )
        submitted = shell(curl.replace("3000", port), folder)
        painted = shell(generate, folder)
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0

    assert json.loads(submitted)["success"]
    assert painted.strip() == "lighthouse.png"
    assert (folder / "lighthouse.png").read_bytes().startswith(b"\x89PNG")
    # The second command is the one that runs this very test; CI runs nothing else.
    assert test == "./darkroom test"
    assert f"exec {test}" in (ROOT / ".ci" / "run").read_text()


def test_the_fleets_command_is_the_procfiles() -> None:
    """What the README tells to start is a line of the Procfile."""
    command = blocks()[3].split("postgres://… ")[1].strip()

    assert f"worker: {command}\n" in (ROOT / "Procfile").read_text()


def shell(script: str, folder: Path) -> str:
    """What a block prints; it must succeed."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment(), capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
