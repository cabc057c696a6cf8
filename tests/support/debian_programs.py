"""Programs of Debian's packages that tests run: those of this machine, or unpacked from the package, without root."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from ops.infra.settings import ROOT

CACHE = ROOT / ".cache" / "debian"
FOLDERS = ("/usr/sbin", "/usr/bin")
DOWNLOAD_TIMEOUT_S = 100


@functools.cache
def find_program(name: str, package: str, *libraries: str) -> Path:
    """Return a program; the test is skipped if it is not here and its package cannot be downloaded.

    ``libraries`` are packages of which a release of Debian may have only some.
    """
    if found := _find(name):
        return found
    if shutil.which("apt-get") is None:
        pytest.skip(f"{name} is not installed, and this is no Debian.")
    if not _unpack(package):
        # Without lists of packages apt finds none.
        _run(["apt-get", "update", "-qq"])
        _unpack(package)
    for library in libraries:
        _unpack(library)
    if found := _find(name):
        return found
    pytest.skip(f"{name} is not installed, and the package {package} cannot be downloaded.")


def program_environment() -> dict[str, str]:
    """Return the environment in which an unpacked program finds its libraries."""
    libraries = ":".join(map(str, CACHE.glob("usr/lib/*-linux-gnu")))
    return {"PATH": os.defpath, "LD_LIBRARY_PATH": libraries}


def _find(name: str) -> Path | None:
    found = shutil.which(name, path=os.pathsep.join((*FOLDERS, *(f"{CACHE}{folder}" for folder in FOLDERS))))
    return Path(found) if found else None


def _unpack(package: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if not _run(["apt-get", "download", "-qq", package], folder):
            return False
        return all(_run(["dpkg-deb", "-x", str(file), str(CACHE)]) for file in Path(folder).glob("*.deb"))


def _run(command: list[str], folder: str | None = None) -> bool:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=DOWNLOAD_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return False
    return True
