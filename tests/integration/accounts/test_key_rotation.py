"""Key rotation while everything runs: callers use the API, the owner also the command."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from ops.cli.api_key import api_key
from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import free_port
from schemas.accounts.caller import Scope
from schemas.errors import Unauthorized
from stores.accounts.api_keys import KeyChange
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from tests.conftest import TIMEOUT_S, answers_http, eventually
from tests.integration.conftest import AppClient, close_app, open_app, process_environment

REGENERATE = "/api/v1/auth/regenerate"
MESSAGE = "API key regenerated. Update your clients with the new key."
NO_KEY = "Missing or invalid Authorization header"


def bearer(key: str) -> dict[str, str]:
    """The Authorization header for a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def owner_app(settings: Settings) -> Iterator[AppClient]:
    """An app whose owner's key is in its file."""
    app = open_app(replace(settings, api_key=None))
    yield app
    close_app(app)


@pytest.fixture
def web_server(owner_app: AppClient, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A second process on the same folder, under gunicorn: its URL and its log."""
    port, log = free_port(), tmp_path / "web.log"
    environment = process_environment(owner_app.stores.settings, {}) | {"PORT": str(port), "API_KEY": ""}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ops", "web"], env=environment, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers_http(f"{url}/health"))
        yield url, log
    finally:
        process.terminate()
        process.wait(60)


def test_the_owner_regenerates_the_key(owner_app: AppClient) -> None:
    """The new key has 64 hex digits and is in the key file; the old key and the watch tokens it signed are invalid."""
    old = owner_app.stores.owner_key.read()
    watch_token = owner_app.stores.watch_tokens.issue("a" * 32)
    response = owner_app.client.post(REGENERATE, headers=bearer(old))
    new = response.json["key"]

    assert response.json == {"key": new, "message": MESSAGE}
    assert response.headers["Cache-Control"] == "no-store"
    assert len(bytes.fromhex(new)) == 32
    assert json.loads((owner_app.stores.settings.data_dir / KEY_FILE).read_text()) == {"key": new}
    rejected = owner_app.client.get("/api/v1/jobs", headers=bearer(old))
    assert rejected.status_code == 401
    assert owner_app.client.get("/api/v1/jobs", headers=bearer(new)).status_code == 200
    with pytest.raises(Unauthorized):
        owner_app.stores.watch_tokens.verify(watch_token, "a" * 32)


def test_another_caller_regenerates_its_key(owner_app: AppClient) -> None:
    """The new key has the same caller and scopes, and the owner's key does not change."""
    old = owner_app.stores.api_keys.create("bob", KeyChange(scopes=frozenset({Scope.READ})))
    bob = owner_app.stores.api_keys.authenticate(old)
    response = owner_app.client.post(REGENERATE, headers={"x-api-key": old})

    assert response.json["message"] == MESSAGE
    assert owner_app.stores.api_keys.authenticate(old) is None
    assert owner_app.stores.api_keys.authenticate(response.json["key"]) == bob
    assert owner_app.client.get("/quota", headers=bearer(owner_app.stores.owner_key.read())).status_code == 200


def test_regeneration_needs_a_key(app: AppClient) -> None:
    """Without a key, or with a session cookie, the status is 401; GET is not allowed."""
    for headers in ({}, bearer("wrong"), {"Cookie": "darkroom_session=" + "A" * 43}):
        rejected = app.client.post(REGENERATE, headers=headers)
        assert (rejected.status_code, rejected.json["error"]) == (401, NO_KEY)
    assert app.get(REGENERATE).status_code == 405


def test_a_key_from_the_environment_cannot_be_regenerated(app: AppClient) -> None:
    """The status is 409, and the message says to change API_KEY."""
    rejected = app.post(REGENERATE)

    assert (rejected.status_code, rejected.json["code"]) == (409, "conflict")
    assert "change API_KEY" in rejected.json["error"]
    assert app.get("/quota").status_code == 200
    assert not (app.stores.settings.data_dir / KEY_FILE).exists()


@pytest.mark.parametrize("owner", [True, False])
def test_one_of_many_concurrent_regenerations_succeeds(owner_app: AppClient, owner: bool) -> None:
    """The key that it returned is the valid one."""
    key = owner_app.stores.owner_key.read() if owner else owner_app.stores.api_keys.create("bob")
    barrier = threading.Barrier(5)
    responses: list[Any] = []

    def regenerate() -> None:
        barrier.wait()
        responses.append(owner_app.client.application.test_client().post(REGENERATE, headers=bearer(key)))

    threads = [threading.Thread(target=regenerate) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new_keys = [response.json["key"] for response in responses if response.status_code == 200]

    assert len(new_keys) == 1
    assert {response.status_code for response in responses} <= {200, 401, 409}
    assert owner_app.stores.api_keys.authenticate(new_keys[0])


def test_a_running_server_accepts_only_the_new_key(owner_app: AppClient, web_server: tuple[str, Path]) -> None:
    """After every regeneration the server rejects the old key and its sessions, and its debug log has no secret."""
    url, log = web_server
    first, tokens = owner_app.stores.owner_key.read(), []
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, trust_env=False) as browser:

        def status(key: str) -> int:
            return httpx.get(f"{url}/api/v1/jobs", headers=bearer(key), timeout=TIMEOUT_S, trust_env=False).status_code

        def sign_in(key: str) -> int:
            code = browser.post("/api/session", json={"key": key}).status_code
            tokens.extend(browser.cookies.values())
            return code

        assert sign_in(first) == browser.get("/api/session").status_code == 200
        second = owner_app.client.post(REGENERATE, headers=bearer(first)).json["key"]
        eventually(lambda: status(first) == 401)
        assert browser.get("/api/session").status_code == 401
        assert status(second) == 200

        environment = process_environment(owner_app.stores.settings, {"api_key": ""})
        third = CliRunner().invoke(api_key, ["regenerate"], env=environment).output.split()[-1]
        # Signing in checks the key uncached, so it does not wait for this process to notice the change.
        assert sign_in(third) == status(third) == 200
        assert sign_in("a mistyped key") == 401
        assert browser.delete("/api/session").status_code == 403
        fourth = browser.post(REGENERATE, headers=bearer(third)).json()["key"]
        assert OwnerKey(owner_app.stores.settings.data_dir).read() == fourth
    text = log.read_text()

    assert "login.began" in text
    assert "key.regenerated" in text
    assert len(set(tokens)) == 2
    assert not [secret for secret in (first, second, third, fourth, *tokens, "mistyped") if secret in text]


def test_the_command_works_without_running_processes(tmp_path: Path) -> None:
    """``darkroom api-key regenerate`` prints the new key."""
    command = [sys.executable, "-m", "ops", "api-key", "regenerate"]
    environment = {"DATA_DIR": str(tmp_path / "data"), "PATH": ""}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert result.stdout == f"New API key: {OwnerKey(tmp_path / 'data').read()}\n"
