"""The making of ``.venv`` from a lock file. Standard library only: it runs before anything is installed."""

import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes")
LAST_LINES = 8


def main(lock: str) -> int:
    """Install exactly what the lock says; 0 when that is done, 2 with a clear line when it cannot be."""
    try:
        with (ROOT / ".venv.lock").open("w") as guard:
            # Two commands started together: the second waits, and finds the work done.
            fcntl.flock(guard, fcntl.LOCK_EX)
            return 0 if _is_installed(lock) else _install(lock)
    except OSError as error:
        return _fail(f"{ROOT} cannot be written: {error.strerror}.")


def _is_installed(lock: str) -> bool:
    copy = VENV / lock
    return copy.exists() and copy.read_bytes() == (ROOT / lock).read_bytes()


def _install(lock: str) -> int:
    print(f"Installing what {lock} lists into .venv (this happens once).", flush=True)
    if not (VENV / "bin" / "python").exists() or not _runs():
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            return _fail(
                "Python's venv module does not work here; on Debian or Ubuntu: sudo apt-get install python3-venv"
            )
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", *PIP_OPTIONS, "-r", str(ROOT / lock)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        print("\n".join(done.stdout.splitlines()[-LAST_LINES:]), file=sys.stderr)
        return _fail("The packages could not be installed; pip's last words are above. Is a package index in reach?")
    draft = VENV / f".{lock}.{os.getpid()}"
    shutil.copyfile(ROOT / lock, draft)
    draft.replace(VENV / lock)
    return 0


def _runs() -> bool:
    """Whether the environment's Python still works: it may have been made by one that is gone."""
    try:
        return (
            subprocess.run(
                [str(VENV / "bin" / "python"), "-m", "pip", "--version"], capture_output=True, check=False
            ).returncode
            == 0
        )
    except OSError:
        return False


def _fail(sentence: str) -> int:
    print(f"darkroom: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
