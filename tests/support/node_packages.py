"""Packages from the npm registry: each set has a folder with a lock in ``programs/locks``, and is installed once.

The lock, ``package-lock.json``, has versions and integrity hashes and names no registry. To make it again, run
``npm install --package-lock-only --omit-lockfile-registry-resolved`` in the folder of its ``package.json``.
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


def install_node_packages(name: str) -> Path:
    """Return a folder whose ``node_modules`` has exactly the packages of ``locks/NAME``; skip if npm cannot be had."""

    def install(folder: Path) -> None:
        folder.mkdir(parents=True)
        for file in FILES:
            shutil.copy(LOCKS / name / file, folder)
        command = [
            _find_npm(),
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
        ]
        try:
            process = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm had not installed {name} after {INSTALL_TIMEOUT_S} s")
        if process.returncode:
            raise RuntimeError(f"npm ci failed: {process.stderr.strip()[-2000:]}")

    return make_once(name, LOCKS / name / "package-lock.json", install)


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
