"""Create ``.venv`` from a lock file. Standard library only: this runs before any package is installed.

For ``up`` a missing browser is installed beside the packages, because both take a while. Playwright's package comes
first then: it knows which browser it needs.
"""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from ops.infra.browser_install import INSTALL_TIMEOUT_S, BrowserNotFoundError, find_browser
from ops.infra.files.atomic_write import write_atomically

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes")
SHOWN_LINES = 8
# ./darkroom tells ``up``, which then does not try again.
EXIT_WITHOUT_BROWSER = 3
STOP_TIMEOUT_S = 5
# A requirement with its hashes, which follow on indented lines.
PLAYWRIGHT = re.compile(r"^playwright==.*\n(?:[ \t]+.*\n)*", re.MULTILINE)
# With one of these set, the browser of this machine is not looked for.
BROWSER_SETTINGS = ("BROWSER", "BROWSER_ENDPOINT")


def main(lock: str, command: str = "") -> int:
    """Install exactly the packages of the lock file; return 0, or 2 after printing what went wrong.

    ``command`` runs afterwards. 3 means that only the browser for it could not be installed.
    """
    try:
        with (ROOT / ".venv.lock").open("w") as guard:
            # Of two commands started together, the second one waits here and finds the packages installed.
            fcntl.flock(guard, fcntl.LOCK_EX)
            return 0 if _is_installed(lock) else _install(lock, command)
    except OSError as error:
        return _fail(f"{ROOT} cannot be written: {error.strerror}.")


def _is_installed(lock: str) -> bool:
    copy = VENV / lock
    return copy.exists() and copy.read_bytes() == (ROOT / lock).read_bytes()


def _install(lock: str, command: str) -> int:
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
    browser = _begin_browser_installation(lock) if command == "up" and _lacks_browser() else None
    try:
        process = _run_pip("-r", str(ROOT / lock))
        if process.returncode:
            print("\n".join(process.stdout.splitlines()[-SHOWN_LINES:]), file=sys.stderr)
            return _fail("The packages could not be installed; see pip's output above. Is a package index reachable?")
        is_complete = browser is None or _succeeds(browser)
    finally:
        if browser:
            _end_group(browser)
    # Written last: its presence states that the installation of the packages is complete.
    write_atomically(VENV / lock, (ROOT / lock).read_bytes())
    return 0 if is_complete else EXIT_WITHOUT_BROWSER


def _run_pip(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(VENV / "bin" / "python"), "-m", "pip", "install", *PIP_OPTIONS, *arguments]
    # PYTHONPATH names this folder; builds of packages must not see it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def _lacks_browser() -> bool:
    if any(os.environ.get(name) for name in BROWSER_SETTINGS):
        return False
    try:
        return find_browser(None) is None
    except BrowserNotFoundError:
        return True


def _begin_browser_installation(lock: str) -> "subprocess.Popen[bytes] | None":
    """Install Playwright's package, and return the process that installs a browser; None if that is left to ``up``."""
    requirement = PLAYWRIGHT.search((ROOT / lock).read_text())
    if requirement is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirement[0])
        file.flush()
        if _run_pip("--no-deps", "-r", file.name).returncode:
            return None
    # Unbuffered: it prints each step when that begins.
    command = [str(VENV / "bin" / "python"), "-u", "-m", "ops.infra.browser_install"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # A group of its own, which can be ended with all that it has started.
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, process_group=0)


def _succeeds(browser: "subprocess.Popen[bytes]") -> bool:
    try:
        return browser.wait(INSTALL_TIMEOUT_S) == 0
    except subprocess.TimeoutExpired:
        return False


def _end_group(process: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)


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
    sys.exit(main(*sys.argv[1:3]))
