"""The window in which a person signs in to a site: ``./darkroom sites login`` in a process of its own."""

import os
import subprocess
import sys

from ops.infra.settings import ROOT

# The command itself gives up earlier.
TIMEOUT_S = 900


def has_screen() -> bool:
    """Whether this process can show a window."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def await_sign_in(site: str) -> str:
    """Open the window, wait until the person has signed in, and return an empty text; or else what went wrong."""
    command = [sys.executable, "-m", "ops", "sites", "login", site]
    try:
        process = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"The sign-in timed out after {TIMEOUT_S // 60} minutes."
    if process.returncode == 0:
        return ""
    lines = process.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else f"The command ended with exit code {process.returncode}."
