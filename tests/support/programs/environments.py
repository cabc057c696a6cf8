"""Real programs from the package index: each has a lock file with hashes in ``locks``, and a folder that is made once.

The folders are in ``.cache/programs`` and are kept between runs. Their names contain the digest of the lock file, so
that a changed lock makes a new folder. A file lock keeps two processes from making one folder at once.

A lock with a ``.in`` file beside it is made from that file: ``uv pip compile --universal --python-version 3.11
--generate-hashes --no-emit-index-url --no-header --no-annotate NAME.in -o NAME.txt``.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ops.infra.settings import ROOT

LOCKS = Path(__file__).parent / "locks"
FOLDER = ROOT / ".cache" / "programs"
UV = Path(sys.executable).with_name("uv")
COMPLETE = ".complete"
INSTALL_TIMEOUT_S = 600
# Packages of which only files are served need not fit the interpreter that runs the tests.
FILES_PYTHON_VERSION = "3.12"
# Programs of 2023 need packages that have no wheels for later versions.
PROGRAM_PYTHON = sys.executable if sys.version_info < (3, 13) else "3.12"


def unpack_packages(name: str) -> Path:
    """Return a folder with the files of exactly the packages in ``locks/NAME.txt``; they are not meant to be run."""
    return make_once(
        name,
        LOCKS / f"{name}.txt",
        lambda folder: _install(name, "--target", folder, "--python-version", FILES_PYTHON_VERSION),
    )


def create_environment(name: str) -> Path:
    """Return the interpreter of a virtual environment with exactly the packages in ``locks/NAME.txt``."""

    def create(folder: Path) -> None:
        _run("venv", "--python", PROGRAM_PYTHON, folder)
        _install(name, "--python", folder / "bin" / "python")

    return make_once(name, LOCKS / f"{name}.txt", create) / "bin" / "python"


def make_once(name: str, lock_file: Path, make: Callable[[Path], None]) -> Path:
    """Return the folder ``NAME-DIGEST`` of a lock file, which ``make`` fills unless it is there and complete."""
    digest = hashlib.sha256(lock_file.read_bytes()).hexdigest()[:12]
    folder = FOLDER / f"{name}-{digest}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A folder without the mark was left by a process that was killed.
        if not (folder / COMPLETE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            (folder / COMPLETE).touch()
    return folder


def _install(name: str, *options: str | Path) -> None:
    _run("pip", "install", *options, "--no-deps", "--require-hashes", "--requirement", LOCKS / f"{name}.txt")


def _run(*arguments: str | Path) -> None:
    process = subprocess.run(
        [UV, "--quiet", *arguments], capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
    )
    if process.returncode:
        raise RuntimeError(f"uv {' '.join(map(str, arguments))} failed: {process.stderr.strip()[-2000:]}")
