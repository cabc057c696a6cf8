"""The search for a browser, and the ways to get one."""

import os
import stat
from pathlib import Path

import pytest

from ops.infra import browser_install
from ops.infra.browser_install import APT_PACKAGE, Browser, BrowserNotFoundError, find_browser, find_or_install_browser


def write_program(folder: Path, name: str, script: str = "echo Chromium 1") -> Path:
    """A program of that name."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH, on a machine without any browser."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.executable", str(write_program(tmp_path, "python", "exit 1")))
    return tmp_path / "bin"


def test_headless_shell_comes_first(machine: Path) -> None:
    """Then Chromium, then Chrome; a setting goes before all of them."""
    chrome = write_program(machine, "google-chrome")
    assert find_browser(None) == Browser(chrome, "PATH")
    chromium = write_program(machine, "chromium")
    assert find_browser(None) == Browser(chromium, "PATH")
    shell = write_program(machine, APT_PACKAGE)
    assert find_browser(None) == Browser(shell, "PATH")
    assert find_browser("google-chrome") == Browser(chrome, "setting BROWSER")
    assert find_browser(str(chromium)) == Browser(chromium, "setting BROWSER")
    assert shell.exists()


def test_playwrights_own_goes_before_the_path(machine: Path, tmp_path: Path) -> None:
    """Only the revision that belongs to the installed Playwright counts."""
    write_program(machine, APT_PACKAGE)
    listing = (
        Path(browser_install.importlib.util.find_spec("playwright").origin).parent / "driver/package/browsers.json"
    )  # type: ignore[union-attr, arg-type] # it is installed
    rows = browser_install.json.loads(listing.read_text())["browsers"]
    revision = next(row["revision"] for row in rows if row["name"] == "chromium-headless-shell")
    for number, folder in (("1", tmp_path), (revision, tmp_path)):
        place = folder / "cache" / f"chromium_headless_shell-{number}" / "chrome-linux"
        place.mkdir(parents=True)
        own = write_program(place, "headless_shell")

    assert find_browser(None) == Browser(own, "Playwright")


def test_a_missing_browser_is_installed_as_a_package(machine: Path) -> None:
    """By apt-get, as root or with a sudo that asks nothing."""
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "env", 'shift; exec "$@"')
    made = machine / APT_PACKAGE
    write_program(machine, "apt-get", f'case "$*" in *install*) echo "#!/bin/sh" > {made}; /bin/chmod +x {made};; esac')
    said: list[str] = []

    assert find_or_install_browser(None, said.append) == Browser(made, "PATH")
    assert any("apt-get install" in line for line in said)


def test_where_none_can_be_had_one_line_says_what_to_do(machine: Path) -> None:
    """It names the package and the setting."""
    with pytest.raises(BrowserNotFoundError, match=f"apt-get install {APT_PACKAGE}.*BROWSER") as caught:
        find_or_install_browser(None, lambda _line: None)

    assert "\n" not in str(caught.value)


def test_a_sudo_that_asks_for_a_password_is_not_used(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is made to wait at a prompt that they cannot see."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    write_program(machine, "sudo", "exit 1")
    called = machine / "called"
    write_program(machine, "apt-get", f"echo > {called}")

    with pytest.raises(BrowserNotFoundError):
        find_or_install_browser(None, lambda _line: None)
    assert not called.exists()


def test_a_setting_that_names_nothing_is_an_error(machine: Path) -> None:
    """And never replaced in silence by another browser."""
    write_program(machine, "chromium")

    with pytest.raises(BrowserNotFoundError, match="BROWSER: '/no/such'"):
        find_browser("/no/such")
