"""Find a Chromium on this machine, install one if there is none, and check whether its sandbox can be used."""

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
        process = subprocess.run([self.path, "--version"], capture_output=True, text=True, timeout=30, check=False)
        return process.stdout.strip() or "unknown version"


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
    """Return a browser; if there is none, install one with Playwright or else with the system's package manager.

    ``report`` is called with one line per step. An installation that has just failed is not tried again.

    Raises:
        BrowserNotFoundError: the installation failed too.
    """
    if browser := find_browser(configured):
        return browser
    if FAILED_VARIABLE not in os.environ and (browser := _install_browser(configured, report)):
        return browser
    raise BrowserNotFoundError(
        f"No browser: run 'sudo apt-get install {APT_PACKAGE}', or set BROWSER to a Chromium or Chrome."
    )


def _install_browser(configured: str | None, report: Callable[[str], None]) -> Browser | None:
    report("No browser found; installing one (this happens once).")
    for command in _install_commands():
        report("  " + " ".join(command))
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=INSTALL_TIMEOUT_S)
        except (subprocess.SubprocessError, OSError):
            continue
        if browser := find_browser(configured):
            return browser
    return None


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
    """Yield the executables that Playwright has downloaded for its installed version.

    Playwright is not imported for this, because only ``workers`` may import it.
    """
    spec = importlib.util.find_spec("playwright")
    if spec is None or spec.origin is None:
        return
    listing = Path(spec.origin).parent / "driver" / "package" / "browsers.json"
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


def _install_commands() -> Iterator[list[str]]:
    yield [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
    if shutil.which("apt-get"):
        sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
        if not sudo or _has_passwordless_sudo():
            yield [*sudo, "apt-get", "update", "-qq"]
            for package in (APT_PACKAGE, "chromium"):
                yield [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", package]


def _has_passwordless_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10, check=False).returncode == 0


if __name__ == "__main__":
    try:
        find_or_install_browser(None, print)
    except BrowserNotFoundError:
        # The command ``up``, which needs a browser, says what to do.
        sys.exit(1)
