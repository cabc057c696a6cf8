"""Packages from the npm registry, in locked sets that are installed once or by name; and programs that use them.

Each set has a folder with a lock in ``programs/locks``. The lock, ``package-lock.json``, has versions and integrity
hashes and names no registry. To make it again, run ``npm install --package-lock-only
--omit-lockfile-registry-resolved`` in the folder of its ``package.json``.
"""

import shutil
import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.support.programs.environments import INSTALL_TIMEOUT_S, LOCKS, create_environment, make_once

# A package of the Python index that has npm, for machines without.
NPM_ENVIRONMENT = "nodejs-24.19.0"
FILES = "package.json", "package-lock.json"
QUIETLY = "--no-audit", "--no-fund", "--no-update-notifier"
# Of commands for one test; sets are installed once, and may be large.
COMMAND_TIMEOUT_S = 90


def npm(folder: Path, *arguments: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run npm in a folder; skip the test if npm cannot be had or does not end in time."""
    command = [_find_npm(), *arguments, *QUIETLY]
    try:
        return subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm {arguments[0]} did not end within {timeout_s:g} s")


def install_node_packages(name: str) -> Path:
    """Return a folder whose ``node_modules`` has exactly the packages of ``locks/NAME``; skips as ``npm``."""

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in FILES:
            shutil.copy(LOCKS / name / file, folder)
        done = npm(folder, "ci", "--ignore-scripts", timeout_s=INSTALL_TIMEOUT_S)
        if done.returncode:
            raise RuntimeError(f"npm ci failed: {done.stderr.strip()[-2000:]}")

    return make_once(name, LOCKS / name / "package-lock.json", install)


def install_from_registry(folder: Path, *packages: str) -> None:
    """Install packages below ``folder``; skip the test if the registry does not answer."""
    done = npm(folder, "install", "--no-save", "--prefer-offline", "--ignore-scripts", *packages)
    if done.returncode:
        pytest.skip(f"npm cannot install {', '.join(packages)}: {done.stderr.strip().splitlines()[-1:]}")


def run_node(script: Path, *arguments: str, timeout_s: float = 60) -> str:
    """Run a script with the Node of Playwright's package; return its output."""
    command = [compute_driver_executable()[0], str(script), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert process.returncode == 0, process.stderr
    return process.stdout


def _find_npm() -> str:
    if program := shutil.which("npm"):
        return program
    try:
        return str(create_environment(NPM_ENVIRONMENT).with_name("npm"))
    except RuntimeError as error:
        pytest.skip(f"npm is not on this machine and cannot be installed from the package index: {error}")
