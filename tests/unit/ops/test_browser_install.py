"""Which of the browsers of a machine is used."""

from pathlib import Path

import pytest

from ops.infra.browser_install import BrowserNotFoundError, find_browser, find_browser_with_windows

SHELL, CHROMIUM = "chromium-headless-shell", "chromium"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the PATH; Playwright has no browser."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "none"))
    return tmp_path


def install(folder: Path, name: str) -> Path:
    """Create an executable program."""
    path = folder / name
    path.touch(mode=0o755)
    return path


def test_a_window_needs_a_browser_that_is_no_shell(programs: Path) -> None:
    """A headless shell is preferred for jobs, but it starts without a window; so does a link to one."""
    shell = install(programs, SHELL)
    (programs / "google-chrome").symlink_to(shell)
    found = find_browser(None)
    assert found
    assert found.path == shell
    for configured in (None, SHELL, "google-chrome"):
        with pytest.raises(BrowserNotFoundError, match="browser with windows"):
            find_browser_with_windows(configured)

    chromium = install(programs, CHROMIUM)
    assert find_browser_with_windows(None).path == chromium
    assert find_browser_with_windows(str(chromium)).path == chromium
    with pytest.raises(BrowserNotFoundError, match="BROWSER"):
        find_browser_with_windows("missing")
