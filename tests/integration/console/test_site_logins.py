"""The login of a site in the Sites section: imported, forgotten, and made in a window on a real screen."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.infra.browser_install import BrowserNotFoundError, find_browser_with_windows
from ops.infra.settings import SHIPPED_RECIPES, Settings
from ops.testbed.page_server import serve_in_thread
from schemas.accounts.caller import Scope
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, eventually
from tests.integration.conftest import AppClient, close_app, open_app, process_environment

ADMIN = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin", "x-api-key": API_KEY}
PAGE = "/console/sites/mine"
COOKIE = {"name": "who", "value": "me", "domain": "127.0.0.1", "path": "/"}
SESSION = '\n[session]\nrequired = true\nsigned_in = ["#welcome"]\n'
# A screen that does not exist.
NO_DISPLAY = ":187"


def can_show_windows() -> bool:
    """Whether this machine has a screen of no device, and a browser that can show a window on it."""
    with contextlib.suppress(BrowserNotFoundError):
        return bool(find_browser_with_windows(os.environ.get("BROWSER"))) and shutil.which("Xvfb") is not None
    return False


class SignedInPage(BaseHTTPRequestHandler):
    """A page that signs its visitor in at once."""

    def do_GET(self) -> None:
        """Answer with a cookie and the element of visitors who have signed in."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "who=me; Path=/")
        self.end_headers()
        self.wfile.write(b"<p id=welcome>Welcome</p>")

    def log_message(self, *_args: object) -> None:
        """Log nothing."""


@pytest.fixture
def sites(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppClient]:
    """An app with the site ``mine``, which needs a login, and whose commands use the app's stores."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), SignedInPage)
    url = f"http://127.0.0.1:{server.server_port}/"
    text = (SHIPPED_RECIPES / "gradio.toml").read_text().replace("http://127.0.0.1:7860/", url)
    (folder / "mine.toml").write_text(text + SESSION)
    with serve_in_thread(server):
        app = open_app(replace(settings, recipes_dir=folder))
        for name, value in process_environment(app.stores.settings, {"recipes_dir": folder}).items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("DISPLAY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield app
        close_app(app)


def test_a_login_is_imported_and_forgotten(sites: AppClient) -> None:
    """What is no storage state is refused and changes nothing; only admins may do it, and no page shows it again."""
    credentials = sites.stores.credentials
    key = sites.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ, Scope.GENERATE})))
    state = json.dumps({"cookies": [COOKIE]})

    assert "Needed before the first job." in sites.client.get(PAGE, headers=ADMIN).text
    for bad in ("", "{", "[" * 100_000, "[]", '{"cookies": 7}', '{"cookies": [{"name": "x"}]}'):
        answer = sites.client.post(f"{PAGE}/login/import", data={"state": bad}, headers=ADMIN)
        assert (answer.status_code, 'role="alert"' in answer.text) == (400, True), bad[:20]
    for action in ("import", "window", "forget"):
        answer = sites.client.post(f"{PAGE}/login/{action}", data={"state": state}, headers={**ADMIN, "x-api-key": key})
        assert answer.status_code == 403, action
    assert credentials.read_time("mine") is None

    assert sites.client.post(f"{PAGE}/login/import", data={"state": state}, headers=ADMIN).status_code == 303
    loaded = credentials.load(sites.stores.recipes.get("mine"))
    assert loaded
    assert loaded["cookies"] == [COOKIE]
    page = sites.client.get(PAGE, headers=ADMIN).text
    assert ("Signed in" in page, "who" in page.replace("whole", "")) == (True, False)

    assert sites.client.post(f"{PAGE}/login/forget", headers=ADMIN).status_code == 303
    assert credentials.read_time("mine") is None


def test_without_a_screen_no_window_opens(sites: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so; where the screen does not answer, it says what the browser says."""
    answer = sites.client.post(f"{PAGE}/login/window", headers=ADMIN)
    assert (answer.status_code, "no screen" in answer.text) == (400, True)

    monkeypatch.setenv("DISPLAY", NO_DISPLAY)
    assert sites.client.post(f"{PAGE}/login/window", headers=ADMIN).status_code == 303
    assert sites.client.post(f"{PAGE}/login/window", headers=ADMIN).status_code == 409
    eventually(lambda: "data-open" not in sites.client.get(PAGE, headers=ADMIN).text)
    assert 'class="notice is-bad"' in sites.client.get(PAGE, headers=ADMIN).text
    assert sites.stores.credentials.read_time("mine") is None


@pytest.mark.skipif(not can_show_windows(), reason="needs Xvfb, and a browser that is no headless shell")
def test_a_window_stores_the_login(sites: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person signs in on a real screen; the window closes, the login is stored, and the circuit is closed."""
    with subprocess.Popen(["Xvfb", "-displayfd", "1", "-nolisten", "tcp"], stdout=subprocess.PIPE, text=True) as screen:
        assert screen.stdout
        monkeypatch.setenv("DISPLAY", f":{screen.stdout.readline().strip()}")
        assert sites.client.post(f"{PAGE}/login/window", headers=ADMIN).status_code == 303
        eventually(lambda: "Signed in" in sites.client.get(PAGE, headers=ADMIN).text)
        loaded = sites.stores.credentials.load(sites.stores.recipes.get("mine"))
        screen.terminate()
    assert loaded
    assert [cookie["name"] for cookie in loaded["cookies"]] == ["who"]
