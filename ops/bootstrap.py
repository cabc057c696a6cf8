"""Create ``.venv`` from a lock file. Standard library only: this runs before any package is installed.

Everything that takes a while runs side by side: Playwright's package, which is the largest, the others, the compilation
of this project's code and, for some commands, the installation of what a browser and Playwright lack on this machine,
which begins once Playwright is there: it knows which browser it needs.
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
from types import FrameType

from ops.infra.browser_install import INSTALL_TIMEOUT_S
from ops.infra.files.atomic_write import write_atomically
from ops.infra.files.environment_lock import describe_users, lock_environment

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
# Locked by each process that installs something, and so until the last of them has ended.
GUARD = ".venv.lock"
# Exists while packages are being installed. Left over, it states that some may be there in part: pip does not see that.
UNFINISHED = ".venv.unfinished"
# A copy of one in .venv states that its packages are installed. The development lock contains the other one.
DEVELOPMENT = "requirements-dev.txt"
LOCKS = ("requirements.txt", DEVELOPMENT)
# Import nothing from the current folder or the user's packages.
ISOLATED = ("-P", "-s")
PIP_OPTIONS = ("--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps")
OUTPUT_SUFFIX = ".out"
PACKAGES = ("api", "ops", "schemas", "stores", "workers")
SHOWN_LINES = 8
# ./darkroom tells ``up``, which then does not try again.
EXIT_FAILURE, EXIT_WITHOUT_BROWSER = 2, 3
STOP_TIMEOUT_S = 5
# The commands for which a missing browser is installed beside the packages.
WITH_BROWSER = ("up", "test")
# A requirement with its hashes, which follow on indented lines.
REQUIREMENT = re.compile(r"^[A-Za-z0-9].*\n(?:[ \t]+.*\n)*", re.MULTILINE)
PLAYWRIGHT = "playwright=="
# Installing a package is work for one core, and asking for it is waiting.
PARTS_OF_OTHERS = 2


def main(lock: str, command: str = "") -> int:
    """Install exactly the packages of the lock file; return 0, or 2 after printing what went wrong.

    ``command`` runs afterwards. 3 means that only the browser for it could not be installed.
    """
    try:
        with (ROOT / GUARD).open("w") as guard:
            # Of two commands started together, the second one waits here and finds the packages installed.
            fcntl.flock(guard, fcntl.LOCK_EX)
            is_installed = _is_installed(lock) or _is_installed(DEVELOPMENT)
            return 0 if is_installed else _install(lock, command, guard.fileno())
    except OSError as error:
        return _fail(f"{ROOT} cannot be written: {error.strerror}.")


def _is_installed(lock: str) -> bool:
    copy = VENV / lock
    return copy.exists() and copy.read_bytes() == (ROOT / lock).read_bytes()


def _install(lock: str, command: str, guard: int) -> int:
    print(f"Installing the packages of {lock} into .venv (this happens once).", flush=True)
    is_usable = not (ROOT / UNFINISHED).exists() and _has_working_python()
    if not is_usable and not lock_environment(VENV):
        return _fail(
            "The packages in .venv have to be installed anew, because an installation was killed or their Python was "
            f"removed, but they are in use by processes: {describe_users(VENV)}. End these, and run this again."
        )
    write_atomically(ROOT / UNFINISHED, b"")
    for each in LOCKS:
        # Packages that are there already stay as they are.
        if not _is_installed(each):
            (VENV / each).unlink(missing_ok=True)
    if not is_usable:
        shutil.rmtree(VENV, ignore_errors=True)
        try:
            venv.create(VENV, with_pip=True)
        except subprocess.CalledProcessError:
            shutil.rmtree(VENV, ignore_errors=True)
            return _fail(
                "Python's venv module does not work; on Debian or Ubuntu run: sudo apt-get install python3-venv"
            )
    with tempfile.TemporaryDirectory() as folder:
        problem = _install_side_by_side(lock, Path(folder), guard, needs_browser=command in WITH_BROWSER)
    if problem != EXIT_FAILURE:
        write_atomically(VENV / lock, (ROOT / lock).read_bytes())
    return problem


def _install_side_by_side(lock: str, folder: Path, guard: int, *, needs_browser: bool) -> int:
    """Install the packages, and a browser if it is needed and missing; return 0 or an exit code.

    ``folder`` is for files.
    """
    requirements = REQUIREMENT.findall((ROOT / lock).read_text())
    playwright = [each for each in requirements if each.startswith(PLAYWRIGHT)]
    others = [each for each in requirements if not each.startswith(PLAYWRIGHT)]
    parts = [playwright, *(others[number::PARTS_OF_OTHERS] for number in range(PARTS_OF_OTHERS))]
    compilation = _compile_code()
    browser, pips, processes = None, [], [compilation]
    try:
        for number, part in enumerate(filter(None, parts)):
            pips.append(_begin_pip(folder / str(number), part, guard))
            processes.append(pips[-1])
        if playwright and needs_browser and pips[0].wait() == 0:
            browser = _begin_browser_installation(guard)
            processes.append(browser)
        # Of a pip that was ended, a package could be there in part: the others finish what they have begun.
        exit_codes = [pip.wait() for pip in pips]
        if all(code >= 0 for code in exit_codes):
            # None was killed: pip takes back what it cannot complete.
            (ROOT / UNFINISHED).unlink()
        if any(exit_codes):
            return _fail_with_output(folder)
        is_complete = browser is None or _succeeds(browser)
        # Otherwise the first processes do the same, each for itself.
        _succeeds(compilation)
    finally:
        for process in processes:
            _end_group(process)
    return 0 if is_complete else EXIT_WITHOUT_BROWSER


def _begin_pip(file: Path, requirements: list[str], guard: int) -> "subprocess.Popen[bytes]":
    """Begin to install packages; what pip says goes to a file beside ``file``."""
    file.write_text("".join(requirements))
    command = [str(VENV / "bin" / "python"), *ISOLATED, "-m", "pip", "install", *PIP_OPTIONS, "-r", str(file)]
    # PYTHONPATH names this folder; builds of packages must not see it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TMPDIR"] = str(file.parent)
    with file.with_suffix(OUTPUT_SUFFIX).open("w") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(guard,),
            process_group=0,
        )


def _fail_with_output(folder: Path) -> int:
    for output in sorted(folder.glob(f"*{OUTPUT_SUFFIX}")):
        print("\n".join(output.read_text(errors="replace").splitlines()[-SHOWN_LINES:]), file=sys.stderr)
    return _fail("The packages could not be installed; see pip's output above. Is a package index reachable?")


def _compile_code() -> "subprocess.Popen[bytes]":
    """Compile this project's own code; where that is not wanted or not possible, nothing happens."""
    folders = [] if sys.dont_write_bytecode else [str(ROOT / name) for name in PACKAGES]
    command = [sys.executable, *ISOLATED, "-m", "compileall", "-qq", *folders] if folders else ["true"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, process_group=0)


def _begin_browser_installation(guard: int) -> "subprocess.Popen[bytes]":
    # Unbuffered: it prints each step when that begins.
    command = [str(VENV / "bin" / "python"), *ISOLATED, "-u", "-m", "ops.infra.browser_install"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # A group of its own, which can be ended with all that it has started.
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, pass_fds=(guard,), process_group=0
    )


def _succeeds(process: "subprocess.Popen[bytes]") -> bool:
    try:
        return process.wait(INSTALL_TIMEOUT_S) == 0
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
    command = [str(VENV / "bin" / "python"), *ISOLATED, "-m", "pip", "--version"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _fail(message: str) -> int:
    print(f"darkroom: {message}", file=sys.stderr)
    return EXIT_FAILURE


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the program with all that it has started; what is ignored stays ignored."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


if __name__ == "__main__":
    end_on_signals()
    sys.exit(main(*sys.argv[1:3]))
