"""The installation of the packages, and of a browser beside them."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops import bootstrap
from ops.infra.browser_install import APT_PACKAGE, FAILED_VARIABLE, BrowserNotFoundError, find_or_install_browser
from ops.infra.settings import ROOT
from tests.conftest import eventually

LOCK = "requirements.txt"
# The installation of the browser holds a pipe open; pip ends with the other packages once that has started.
PYTHON = """#!/bin/sh
for last; do :; done
case "$*" in
    *--version*) ;;
    *browser_install*) exec 3> "$PIPES/alive"; sleep 600 & echo > "$PIPES/started"; {browser} ;;
    *install*)
        cat "$last" >> "$PIPES/installed"
        grep -q ^playwright "$last" && exit
        read _ < "$PIPES/started"
        echo broken
        exit {pip_exit_code} ;;
esac
"""


@pytest.fixture
def alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A machine without a browser; reading from the pipe finds its end once no process of an installation is left."""
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setenv("PIPES", str(tmp_path))
    (tmp_path / LOCK).write_text("other==1.0 \\\n    --hash=sha256:00\nplaywright==1.0 \\\n    --hash=sha256:00\n")
    (tmp_path / bootstrap.DEVELOPMENT).write_text(
        (tmp_path / LOCK).read_text() + "linter==1.0 \\\n    --hash=sha256:00\n"
    )
    os.mkfifo(tmp_path / "started")
    os.mkfifo(tmp_path / "alive")
    descriptor = os.open(tmp_path / "alive", os.O_RDONLY | os.O_NONBLOCK)
    yield descriptor
    os.close(descriptor)


def write_python(folder: Path, *, browser: str, pip_exit_code: int = 0) -> None:
    """Put a program in the place of .venv's Python."""
    path = folder / ".venv" / "bin" / "python"
    path.parent.mkdir(parents=True)
    path.write_text(PYTHON.format(browser=browser, pip_exit_code=pip_exit_code))
    path.chmod(0o755)


def release_pips(folder: Path) -> None:
    """Let pip not wait for the installation of the browser."""
    (folder / "started").unlink()
    (folder / "started").write_text("")


def is_over(descriptor: int) -> bool:
    """Whether no process holds the pipe open."""
    try:
        return os.read(descriptor, 1) == b""
    except BlockingIOError:
        return False


def test_the_parts_are_the_whole_lock_and_code_is_compiled(
    alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each package is installed once, with its hashes."""
    monkeypatch.setattr(bootstrap.sys, "dont_write_bytecode", False)
    names = ("a", "b", "c", "d", "playwright")
    requirements = [f"{name}==1.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n" for name in names]
    (tmp_path / LOCK).write_text("".join(requirements))
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "module.py").write_text("")
    release_pips(tmp_path)
    write_python(tmp_path, browser="kill $!; exit 0")

    assert bootstrap.main(LOCK, "up") == 0
    assert not (tmp_path / bootstrap.UNFINISHED).exists()
    installed = bootstrap.REQUIREMENT.findall((tmp_path / "installed").read_text())
    assert sorted(installed) == requirements
    assert list((tmp_path / "api" / "__pycache__").glob("module.*.pyc"))


def test_a_failure_of_pip_ends_the_installation_of_the_browser(
    alive: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With everything that it has started, and shows what pip has said."""
    write_python(tmp_path, browser="wait", pip_exit_code=1)

    assert bootstrap.main(LOCK, "up") == 2
    assert "broken\n" in capfd.readouterr().err
    eventually(lambda: is_over(alive))
    assert not (tmp_path / ".venv" / LOCK).exists()


def test_an_installation_that_does_not_end_is_ended(
    alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The packages are there, and the exit code says that the browser is not."""
    monkeypatch.setattr(bootstrap, "INSTALL_TIMEOUT_S", 0.1)
    write_python(tmp_path, browser="wait")

    assert bootstrap.main(LOCK, "up") == bootstrap.EXIT_WITHOUT_BROWSER
    eventually(lambda: is_over(alive))
    assert (tmp_path / ".venv" / LOCK).exists()


def test_the_steps_of_a_failing_installation_are_shown(
    alive: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """They appear as the installation prints them."""
    write_python(tmp_path, browser="kill $!; echo '  playwright install'; exit 1")

    assert bootstrap.main(LOCK, "up") == bootstrap.EXIT_WITHOUT_BROWSER
    assert "  playwright install\n" in capfd.readouterr().out
    eventually(lambda: is_over(alive))


@pytest.mark.parametrize(
    ("exit_code", "expected"), [(0, (0, "")), (2, (2, None)), (bootstrap.EXIT_WITHOUT_BROWSER, (0, "1"))]
)
def test_the_script_reports_a_failed_installation_to_the_command(
    tmp_path: Path, exit_code: int, expected: tuple[int, str | None]
) -> None:
    """It goes on without a browser, but not without the packages."""
    script = tmp_path / "darkroom"
    script.write_bytes((ROOT / "darkroom").read_bytes())
    (tmp_path / LOCK).touch()
    for path, lines in (
        (tmp_path / "bin" / "python3", f'case "$1" in -c) ;; *) exit {exit_code} ;; esac'),
        (tmp_path / ".venv" / "bin" / "python", f'[ "$1" = -P ] && printf %s "${FAILED_VARIABLE}"'),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        ["sh", script, "up"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    assert (process.returncode, process.stdout if process.returncode == 0 else None) == expected


def test_an_installation_that_has_just_failed_is_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv(FAILED_VARIABLE, "1")
    steps: list[str] = []

    with pytest.raises(BrowserNotFoundError, match=f"apt-get install {APT_PACKAGE}"):
        find_or_install_browser(None, steps.append)
    assert not steps


# Ends the first pip while the second one is at work, and then lets that go on.
SLOW_PYTHON = """#!/bin/sh
for last; do :; done
case "$*" in
    *--version*) exit ;;
    *compileall*) exit ;;
esac
echo "$TMPDIR $*" >> "$PIPES/calls"
if grep -q ^playwright "$last"; then echo $$ > "$PIPES/first"; read _ < "$PIPES/started"; {first}; fi
exec 9> "$PIPES/alive"; echo > "$PIPES/started"; {second}
"""


FIRST_IS_REAPED = 'while kill -0 $(cat "$PIPES/first") 2> /dev/null; do sleep 0.05; done'


def write_slow_python(folder: Path, *, first: str, second: str) -> None:
    """Put a program in the place of .venv's Python that is pip twice, side by side."""
    path = folder / ".venv" / "bin" / "python"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SLOW_PYTHON.format(first=first, second=second))
    path.chmod(0o755)


def test_an_installation_that_fails_leaves_no_other_lock_as_installed(alive: int, tmp_path: Path) -> None:
    """Packages of both may be there then, so going back to the other version installs as well."""
    release_pips(tmp_path)
    write_python(tmp_path, browser="exit 0", pip_exit_code=1)
    for name in bootstrap.LOCKS:
        (tmp_path / ".venv" / name).write_text("other==0.9\n")

    assert bootstrap.main(LOCK) == 2
    assert not [name for name in bootstrap.LOCKS if (tmp_path / ".venv" / name).exists()]


def test_the_development_packages_contain_the_others(alive: int, tmp_path: Path) -> None:
    """With them nothing is to be installed, and their installation makes an installed version no worse."""
    release_pips(tmp_path)
    write_python(tmp_path, browser="exit 0", pip_exit_code=1)
    installed = tmp_path / ".venv" / LOCK
    installed.write_bytes((tmp_path / LOCK).read_bytes())

    assert bootstrap.main(bootstrap.DEVELOPMENT) == 2
    assert installed.exists()
    installed.unlink()
    (tmp_path / ".venv" / bootstrap.DEVELOPMENT).write_bytes((tmp_path / bootstrap.DEVELOPMENT).read_bytes())
    assert bootstrap.main(LOCK) == 0
    assert not installed.exists()


def test_a_pip_that_fails_lets_the_others_finish(alive: int, tmp_path: Path) -> None:
    """Then no package is there in part, and the environment is kept."""
    write_slow_python(tmp_path, first="exit 1", second=f'{FIRST_IS_REAPED}; echo > "$PIPES/finished"')

    assert bootstrap.main(LOCK) == 2
    assert (tmp_path / "finished").exists()
    assert not (tmp_path / bootstrap.UNFINISHED).exists()
    calls = [line.split() for line in (tmp_path / "calls").read_text().splitlines()]
    assert [call[1:5] for call in calls] == [["-P", "-s", "-m", "pip"]] * 2
    folders = {call[0] for call in calls}
    assert [Path(folder).exists() for folder in folders] == [False]


def test_an_environment_of_killed_pips_is_made_anew(
    alive: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip was writing may be there in part, which the next pip would take as installed."""
    write_slow_python(tmp_path, first="kill -9 $$", second="exit 0")
    made: list[Path] = []
    monkeypatch.setattr(bootstrap.venv, "create", lambda path, **_options: made.append(path))

    assert bootstrap.main(LOCK) == 2
    assert not made
    torn = tmp_path / ".venv" / "torn"
    torn.touch()
    # Nothing makes a Python here.
    with pytest.raises(FileNotFoundError):
        bootstrap._install(LOCK, "", 0)
    assert made == [tmp_path / ".venv"]
    assert not torn.exists()


USER = """
import os, sys
from ops.infra.files.environment_lock import share_environment
share_environment()
os.write(1, b"ready\\n")
os.execvp("sh", ["sh", "-c", "read line", *sys.argv[1:]])
"""


def test_an_environment_in_use_is_not_removed(
    alive: int, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the process, also if that executes another program; after its end a new one is made."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (tmp_path / bootstrap.UNFINISHED).touch()
    command = [tmp_path / ".venv" / "bin" / "python", "-c", USER, "ops", "up"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout
        assert user.stdout.readline() == b"ready\n"

        assert bootstrap.main(LOCK) == 2
        assert f"{user.pid} (up)" in capfd.readouterr().err
        assert (tmp_path / ".venv" / "pyvenv.cfg").exists()
        user.kill()
    made: list[Path] = []
    monkeypatch.setattr(bootstrap.venv, "create", lambda path, **_options: made.append(path))
    # Nothing makes a Python here.
    assert bootstrap.main(LOCK) == 2
    assert made == [tmp_path / ".venv"]
    assert not (tmp_path / ".venv").exists()


BOOTSTRAP = """
import pathlib, sys
from ops import bootstrap
bootstrap.ROOT = pathlib.Path(sys.argv[1])
bootstrap.VENV = bootstrap.ROOT / ".venv"
bootstrap.end_on_signals()
sys.exit(bootstrap.main("requirements.txt"))
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_pips_do_not_outlive_the_guard(alive: int, tmp_path: Path, number: int, code: int) -> None:
    """They end with the installation; where that is killed, the next one waits for them."""
    write_slow_python(
        tmp_path, first="exit 0", second='echo $$ > "$PIPES/pid.new"; mv "$PIPES/pid.new" "$PIPES/pid"; exec sleep 60'
    )
    process = subprocess.Popen([sys.executable, "-c", BOOTSTRAP, str(tmp_path)], cwd=ROOT)
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    process.send_signal(number)

    assert process.wait(60) == code
    with (tmp_path / bootstrap.GUARD).open() as guard:
        if number == signal.SIGKILL:
            with pytest.raises(BlockingIOError):
                fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.killpg(pid, signal.SIGKILL)
        fcntl.flock(guard, fcntl.LOCK_EX)
    eventually(lambda: is_over(alive))
    assert (tmp_path / bootstrap.UNFINISHED).exists()
