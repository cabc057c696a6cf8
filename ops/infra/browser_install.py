"""Find a Chromium on this machine, install one if there is none, and check whether its sandbox can be used.

As a program: install what Playwright and a browser lack on this machine.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

APT_PACKAGE = "chromium-headless-shell"
# Shells have no windows: they start and show nothing.
SHELL = "headless"
PROGRAM_NAMES = (APT_PACKAGE, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
INSTALL_TIMEOUT_S = 600
# Playwright writes it into the folder of a browser at the end of an installation.
COMPLETE_FILE = "INSTALLATION_COMPLETE"
# With one of these set, no browser is installed.
BROWSER_SETTINGS = ("BROWSER", "BROWSER_ENDPOINT")
# Libraries that Playwright's driver needs and small installations of Debian and Ubuntu lack, with their packages.
DRIVER_LIBRARIES = {"libatomic.so.1": "libatomic1"}
VERSION_TIMEOUT_S = 30
INSTALL_BROWSER = ("-m", "playwright", "install", "chromium-headless-shell")
# The packages that Playwright's own browser needs; for Debian and Ubuntu.
INSTALL_DEPENDENCIES = ("-m", "playwright", "install-deps", "chromium-headless-shell")
# Set by ./darkroom if an installation has just failed.
FAILED_VARIABLE = "DARKROOM_BROWSER_INSTALLATION_FAILED"


class BrowserNotFoundError(Exception):
    """There is no browser and none can be installed; the message is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Browser:
    """An executable and where it was found."""

    path: Path
    origin: str

    def version(self) -> str:
        """Return what the program prints for ``--version``."""
        return _ask_version(self.path).stdout.strip() or "unknown version"

    def starts(self) -> bool:
        """Return whether the program runs here; without the libraries that it needs, it does not."""
        return _ask_version(self.path).returncode == 0


def find_browser(configured: str | None) -> Browser | None:
    """Return the configured browser, or Playwright's own, or one on the PATH, in this order; headless shell first.

    Raises:
        BrowserNotFoundError: ``configured`` is not an executable program.
    """
    return next(_candidates(configured), None)


def find_browser_with_windows(configured: str | None) -> Browser:
    """Return the configured browser, or one of this machine that can show windows.

    Raises:
        BrowserNotFoundError: there is none, or ``configured`` cannot.
    """
    for browser in _candidates(configured):
        # Commands on the PATH are often links to the program.
        if SHELL not in browser.path.name and SHELL not in browser.path.resolve().name:
            return browser
    raise BrowserNotFoundError(
        "There is no browser with windows, only a headless one or none: run 'sudo apt-get install chromium', or set "
        "BROWSER to a Chromium or Chrome."
    )


def find_or_install_browser(configured: str | None, report: Callable[[str], None]) -> Browser:
    """Return a browser that starts; else install one with Playwright or with the system's package manager.

    ``report`` is called with one line per step. An installation that has just failed is not tried again. A configured
    browser is not started here.

    Raises:
        BrowserNotFoundError: the installation failed too, or ``configured`` is not an executable program.
    """
    if browser := find_browser(configured) if configured else _find_working_browser():
        return browser
    if FAILED_VARIABLE not in os.environ:
        install_missing_parts(report)
        if browser := _find_working_browser():
            return browser
    raise BrowserNotFoundError(_describe_missing_browser())


def _describe_missing_browser() -> str:
    setting = "or set BROWSER to a Chromium or Chrome."
    if browser := find_browser(None):
        problem = _first_line(_ask_version(browser.path))
        command = " ".join([sys.executable, *INSTALL_DEPENDENCIES])
        return f"The browser {browser.path} does not start: {problem}. Run 'sudo {command}', {setting}"
    packages = " ".join([APT_PACKAGE, *_missing_driver_packages(find_driver_problem() or "")])
    return f"No browser: run 'sudo apt-get install {packages}', {setting}"


def find_driver_problem() -> str | None:
    """Return why Playwright's driver does not start and what to do, in one line; None if it starts."""
    folder = _playwright_folder()
    driver = folder / "driver" / "node" if folder else None
    if driver is None or not driver.exists():
        return None
    process = _ask_version(driver)
    if process.returncode == 0:
        return None
    problem = _first_line(process)
    packages = " ".join(_missing_driver_packages(problem))
    advice = f" Run 'sudo apt-get install {packages}'." if packages else ""
    return f"Playwright does not start: {problem}.{advice}"


def install_missing_parts(report: Callable[[str], None], *, with_browser: bool = True) -> bool:
    """Install a browser if none starts, and what Playwright's driver lacks; return whether nothing is missing any more.

    ``report`` is called with one line per step.
    """
    driver_problem = find_driver_problem()
    lacks_browser = with_browser and _find_working_browser() is None
    if not (driver_problem or lacks_browser):
        return True
    if not lacks_browser:
        report("Playwright does not start; installing what it lacks (this happens once).")
    elif find_browser(None):
        report("The browser does not start; installing what it lacks (this happens once).")
    else:
        report("No browser found; installing one (this happens once).")
    for command in _install_commands(driver_problem or "", lacks_browser=lacks_browser):
        report("  " + " ".join(command))
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
        except (subprocess.SubprocessError, OSError):
            continue
        if (not with_browser or _find_working_browser()) and find_driver_problem() is None:
            return True
    return False


def _find_working_browser() -> Browser | None:
    return next((browser for browser in _candidates(None) if browser.starts()), None)


def _missing_driver_packages(problem: str) -> list[str]:
    return [package for library, package in DRIVER_LIBRARIES.items() if library in problem]


def _ask_version(program: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(program), "--version"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        # The machine is busy: nothing is known to be missing.
        return subprocess.CompletedProcess(command, 0, "", "")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def _first_line(process: "subprocess.CompletedProcess[str]") -> str:
    """Return what a program that failed has said, without its name."""
    line = (process.stderr.strip().splitlines() or [f"exit code {process.returncode}"])[0]
    return line.removeprefix(f"{process.args[0]}: ")


def can_sandbox() -> bool:
    """Return whether Chromium's sandbox works here: it needs user namespaces and refuses to run as root."""
    if os.geteuid() == 0:
        return False
    if sys.platform != "linux":
        return True
    command = shutil.which("unshare")
    if command is None:
        return False
    return subprocess.run([command, "--user", "true"], capture_output=True, timeout=5, check=False).returncode == 0


def _candidates(configured: str | None) -> Iterator[Browser]:
    if configured:
        program = shutil.which(configured)
        if program is None:
            raise BrowserNotFoundError(f"BROWSER: {configured!r} is not an executable program.")
        yield Browser(Path(program), "setting BROWSER")
        return
    for path in _playwright_executables():
        yield Browser(path, "Playwright")
    for name in PROGRAM_NAMES:
        if program := shutil.which(name):
            yield Browser(Path(program), "PATH")


def _playwright_executables() -> Iterator[Path]:
    """Yield the executables that Playwright has downloaded for its installed version."""
    folder = _playwright_folder()
    if folder is None:
        return
    listing = folder / "driver" / "package" / "browsers.json"
    revisions = {row["name"]: row["revision"] for row in json.loads(listing.read_text())["browsers"]}
    default = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "ms-playwright"
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or default)
    for name in ("chromium-headless-shell", "chromium"):
        folder = cache / f"{name.replace('-', '_')}-{revisions.get(name)}"
        # Of an installation that was killed, some files may be missing or cut off.
        if not (folder / COMPLETE_FILE).exists():
            continue
        for program in ("chrome-headless-shell", "headless_shell", "chrome"):
            yield from (path for path in folder.glob(f"*/{program}") if os.access(path, os.X_OK))


def _playwright_folder() -> Path | None:
    """Return the folder of the package; it is not imported for this, because only ``workers`` may import it."""
    spec = importlib.util.find_spec("playwright")
    return Path(spec.origin).parent if spec and spec.origin else None


def _install_commands(driver_problem: str, *, lacks_browser: bool) -> Iterator[list[str]]:
    """Yield the commands, of which each is tried until nothing is missing.

    The driver downloads Playwright's own browser, so that needs a driver that starts.
    """
    if lacks_browser and not driver_problem:
        yield [sys.executable, *INSTALL_BROWSER]
    packages = _missing_driver_packages(driver_problem)
    if not (lacks_browser or packages) or not shutil.which("apt-get"):
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if sudo and not _has_passwordless_sudo():
        return
    if any(_playwright_executables()) and not driver_problem:
        yield [*sudo, sys.executable, *INSTALL_DEPENDENCIES]
    yield [*sudo, "apt-get", "update", "-qq"]
    # Recommended packages are twice as large as the browser, and only for windows.
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
    for browser in ([APT_PACKAGE], ["chromium"]) if lacks_browser else ([],):
        yield [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", *install, *packages, *browser]


def _has_passwordless_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10, check=False).returncode == 0


if __name__ == "__main__":
    # The command ``up``, which needs a browser, says what to do.
    sys.exit(not install_missing_parts(print, with_browser=not any(map(os.environ.get, BROWSER_SETTINGS))))
