"""Create ``.venv`` from a lock file. Standard library only: this runs before any package is installed."""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from ops.infra.files.atomic_write import write_atomically

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes")
SHOWN_LINES = 8


def main(lock: str) -> int:
    """Install exactly the packages of the lock file; return 0, or 2 after printing what went wrong."""
    try:
        with (ROOT / ".venv.lock").open("w") as guard:
            # Of two commands started together, the second one waits here and finds the packages installed.
            fcntl.flock(guard, fcntl.LOCK_EX)
            return 0 if _is_installed(lock) else _install(lock)
    except OSError as error:
        return _fail(f"{ROOT} cannot be written: {error.strerror}.")


def _is_installed(lock: str) -> bool:
    copy = VENV / lock
    return copy.exists() and copy.read_bytes() == (ROOT / lock).read_bytes()


def _install(lock: str) -> int:
    print(f"Installing the packages of {lock} into .venv (this happens once).", flush=True)
    if not _has_working_python():
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            return _fail(
                "Python's venv module does not work; on Debian or Ubuntu run: sudo apt-get install python3-venv"
            )
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", *PIP_OPTIONS, "-r", str(ROOT / lock)]
    # PYTHONPATH names this folder; builds of packages must not see it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if process.returncode:
        print("\n".join(process.stdout.splitlines()[-SHOWN_LINES:]), file=sys.stderr)
        return _fail("The packages could not be installed; see pip's output above. Is a package index reachable?")
    # Written last: its presence states that the installation is complete.
    write_atomically(VENV / lock, (ROOT / lock).read_bytes())
    return 0


def _has_working_python() -> bool:
    """Return whether .venv can run pip; the Python that created it may have been removed since."""
    command = [str(VENV / "bin" / "python"), "-m", "pip", "--version"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _fail(message: str) -> int:
    print(f"darkroom: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
