"""Packages of npm for tests; a test is skipped where npm or its registry is missing."""

import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_TIMEOUT_S = 90


def npm(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder; skip the test if this machine has none."""
    program = shutil.which("npm")
    if program is None:
        pytest.skip("npm is not installed")
    command = [program, *arguments, "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm does not answer within {INSTALL_TIMEOUT_S} s")


def install_from_registry(folder: Path, *packages: str) -> None:
    """Install packages below ``folder``; skip the test if the registry does not answer."""
    done = npm(folder, "install", "--no-save", "--prefer-offline", "--ignore-scripts", *packages)
    if done.returncode:
        pytest.skip(f"npm cannot install {', '.join(packages)}: {done.stderr.strip().splitlines()[-1:]}")
