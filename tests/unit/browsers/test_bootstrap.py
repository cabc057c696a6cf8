"""The installation of a browser beside the packages."""

import os
import subprocess
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
    monkeypatch.setattr(bootstrap, "find_browser", lambda _configured: None)
    for name in bootstrap.BROWSER_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIPES", str(tmp_path))
    (tmp_path / LOCK).write_text("other==1.0 \\\n    --hash=sha256:00\nplaywright==1.0 \\\n    --hash=sha256:00\n")
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
    (tmp_path / "started").unlink()
    (tmp_path / "started").write_text("")
    write_python(tmp_path, browser="kill $!; exit 0")

    assert bootstrap.main(LOCK, "up") == 0
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
        (tmp_path / ".venv" / "bin" / "python", f'printf %s "${FAILED_VARIABLE}"'),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(f"#!/bin/sh\n{lines}\n")
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        ["sh", script, "up"], env=environment, capture_output=True, text=True, timeout=20, check=False
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
