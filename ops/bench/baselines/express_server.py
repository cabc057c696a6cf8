"""An Express application as a baseline; npm installs Express, and Node.js must be installed."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.infra.settings import ROOT
from ops.processes.web_command import free_port

# The version that was current when the first servers of the Weights API were written.
PACKAGE = "express@4.21.2"
INSTALL_TIMEOUT_S = 60
APPLICATION = ROOT / "ops" / "bench" / "baselines" / "express_status.js"
JOB_ID = "0" * 32


@contextmanager
def run_express(key: str) -> Iterator[str | None]:
    """Yield the URL of the application; None, with a line that says why, if it cannot be run here."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        sys.stderr.write("no baseline in Express: Node.js and npm are not on the PATH\n")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="dr-express-") as folder:
        if problem := _install(npm, folder):
            sys.stderr.write(f"no baseline in Express: {problem}\n")
            yield None
            return
        with _run(node, Path(folder), key) as url:
            yield url


def _install(npm: str, folder: str) -> str:
    """Install Express below ``folder``; return what went wrong, or an empty text."""
    options = ["--no-audit", "--no-fund", "--no-update-notifier", "--prefer-offline", "--silent", "--prefix", folder]
    try:
        installed = subprocess.run(
            [npm, "install", *options, PACKAGE],
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm had not installed it after {INSTALL_TIMEOUT_S} s"
    return installed.stderr.strip()[-200:] or "npm failed" if installed.returncode else ""


@contextmanager
def _run(node: str, folder: Path, key: str) -> Iterator[str]:
    port = free_port()
    environment = {"NODE_ENV": "production", "PATH": str(Path(node).parent)}
    command = [node, str(APPLICATION), str(port), key]
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise RuntimeError("the baseline in Express did not start")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
