"""Finding and installing a browser."""

import os
import stat
from pathlib import Path

import pytest

from ops.infra import browser_install
from ops.infra.browser_install import (
    APT_PACKAGE,
    COMPLETE_FILE,
    Browser,
    BrowserNotFoundError,
    find_browser,
    find_driver_problem,
    find_or_install_browser,
    install_missing_parts,
)


def write_program(folder: Path, name: str, script: str = "echo Chromium 1") -> Path:
    """Create an executable shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in PATH, on a machine without browsers."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.executable", str(write_program(tmp_path, "python", "exit 1")))
    # sudo is tried with it.
    write_program(tmp_path / "bin", "true", "")
    return tmp_path / "bin"


def test_headless_shell_comes_first(machine: Path) -> None:
    """Then Chromium, then Chrome; the setting BROWSER takes precedence."""
    chrome = write_program(machine, "google-chrome")
    assert find_browser(None) == Browser(chrome, "PATH")
    chromium = write_program(machine, "chromium")
    assert find_browser(None) == Browser(chromium, "PATH")
    shell = write_program(machine, APT_PACKAGE)
    assert find_browser(None) == Browser(shell, "PATH")
    assert find_browser("google-chrome") == Browser(chrome, "setting BROWSER")
    assert find_browser(str(chromium)) == Browser(chromium, "setting BROWSER")
    assert shell.exists()


def test_playwrights_browser_takes_precedence_over_path(machine: Path, tmp_path: Path) -> None:
    """Only the revision that the installed Playwright expects is used, and only if its installation was completed."""
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

    assert find_browser(None) == Browser(machine / APT_PACKAGE, "PATH")
    (place.parent / COMPLETE_FILE).touch()
    assert find_browser(None) == Browser(own, "Playwright")


def test_a_missing_browser_is_installed_as_a_package(machine: Path) -> None:
    """apt-get runs as root or with passwordless sudo."""
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "env", 'shift; exec "$@"')
    installed = machine / APT_PACKAGE
    write_program(
        machine, "apt-get", f'case "$*" in *install*) echo "#!/bin/sh" > {installed}; /bin/chmod +x {installed};; esac'
    )
    lines: list[str] = []

    assert find_or_install_browser(None, lines.append) == Browser(installed, "PATH")
    assert any("apt-get install" in line for line in lines)


# What the loader prints on a small Debian.
LACKS_LIBRARY = (
    'echo "$0: error while loading shared libraries: libatomic.so.1: cannot open shared object file" >&2; exit 127'
)


@pytest.fixture
def driver(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The driver of a Playwright of this machine."""
    folder = tmp_path / "playwright" / "driver"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "browsers.json").write_text('{"browsers": []}')
    monkeypatch.setattr(browser_install, "_playwright_folder", lambda: folder.parent)
    return write_program(folder, "node", LACKS_LIBRARY)


def test_a_driver_that_lacks_a_library_gets_it_with_the_browser(machine: Path, driver: Path) -> None:
    """By one command, without the packages that are only recommended; the driver cannot download a browser before."""
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "env", 'shift; exec "$@"')
    installed = machine / APT_PACKAGE
    write_program(
        machine,
        "apt-get",
        f'[ "$1" = update ] && exit; echo "$@" >> {machine}/installed; '
        f'for file in {driver} {installed}; do echo "#!/bin/sh" > $file; /bin/chmod +x $file; done',
    )
    lines: list[str] = []

    assert install_missing_parts(lines.append)
    assert (machine / "installed").read_text() == f"install -y -qq --no-install-recommends libatomic1 {APT_PACKAGE}\n"
    assert not any("playwright" in line for line in lines)
    assert install_missing_parts(lambda _line: pytest.fail("nothing is missing"))


def test_a_driver_that_lacks_a_library_gets_it_alone(machine: Path, driver: Path) -> None:
    """If there is a browser, or a setting names another one."""
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "env", 'shift; exec "$@"')
    write_program(machine, "apt-get", f'echo "$@" >> {machine}/installed')

    assert not install_missing_parts(lambda _line: None, with_browser=False)
    write_program(machine, APT_PACKAGE)
    assert not install_missing_parts(lambda _line: None)
    calls = (machine / "installed").read_text().splitlines()
    assert calls == ["update -qq", "install -y -qq --no-install-recommends libatomic1"] * 2


def test_the_message_about_a_driver_names_the_library_and_the_package(driver: Path) -> None:
    """One line that says what to do; nothing if the driver starts."""
    assert find_driver_problem() == (
        "Playwright does not start: error while loading shared libraries: libatomic.so.1: "
        "cannot open shared object file. Run 'sudo apt-get install libatomic1'."
    )
    driver.write_text("#!/bin/sh\nexit 3\n")
    assert find_driver_problem() == "Playwright does not start: exit code 3."
    driver.write_text("#!/bin/sh\necho v24\n")
    assert find_driver_problem() is None


def test_a_browser_that_lacks_a_library_is_not_taken_as_installed(machine: Path) -> None:
    """Playwright's own comes without the libraries that it needs; those of the system's package are enough."""
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "env", 'shift; exec "$@"')
    broken = write_program(machine, "chromium", LACKS_LIBRARY)
    write_program(
        machine,
        "apt-get",
        f'[ "$1" = update ] || echo "#!/bin/sh" > {broken}',
    )
    lines: list[str] = []

    assert find_or_install_browser(None, lines.append) == Browser(broken, "PATH")
    assert [line for line in lines if "apt-get install" in line]


def test_a_browser_that_does_not_start_is_not_used(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is, although it comes later; without one, the message says what the first one has said."""
    broken = write_program(machine, "chromium", LACKS_LIBRARY)
    with pytest.raises(BrowserNotFoundError, match=r"chromium does not start: error while loading.*install-deps"):
        find_or_install_browser(None, lambda _line: None)

    chrome = write_program(machine, "google-chrome")
    assert find_or_install_browser(None, lambda _line: None) == Browser(chrome, "PATH")
    assert find_or_install_browser("chromium", lambda _line: None) == Browser(broken, "setting BROWSER")


def test_the_libraries_of_playwrights_browser_are_installed(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own command, before another browser is."""
    own = tmp_path / "headless_shell"
    monkeypatch.setattr(browser_install, "_playwright_executables", lambda: [own] if own.exists() else [])
    write_program(machine, "sudo", 'shift; exec "$@"')
    write_program(machine, "apt-get", f"echo apt-get >> {tmp_path}/calls")
    write_program(tmp_path, "install", LACKS_LIBRARY)
    write_program(tmp_path, "install-deps")
    write_program(tmp_path, "python", f"echo $3 >> {tmp_path}/calls; /bin/cp {tmp_path}/$3 {own}")

    assert find_or_install_browser(None, lambda _line: None) == Browser(own, "Playwright")
    assert (tmp_path / "calls").read_text().split() == ["install", "install-deps"]


def test_a_failed_installation_reports_what_to_do_in_one_line(machine: Path) -> None:
    """The message names the package and the setting."""
    with pytest.raises(BrowserNotFoundError, match=f"apt-get install {APT_PACKAGE}.*BROWSER") as caught:
        find_or_install_browser(None, lambda _line: None)

    assert "\n" not in str(caught.value)


def test_sudo_that_asks_for_a_password_is_not_used(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command must not block at an invisible password prompt."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    write_program(machine, "sudo", "exit 1")
    called = machine / "called"
    write_program(machine, "apt-get", f"echo > {called}")

    with pytest.raises(BrowserNotFoundError):
        find_or_install_browser(None, lambda _line: None)
    assert not called.exists()


def test_a_configured_browser_that_does_not_exist_is_an_error(machine: Path) -> None:
    """Another browser is not used silently instead."""
    write_program(machine, "chromium")

    with pytest.raises(BrowserNotFoundError, match="BROWSER: '/no/such'"):
        find_browser("/no/such")
