"""A key that is replaced while everything runs: its caller's by the API, the owner's also by its command."""

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
from schemas.accounts.caller import Scope
from schemas.errors import Unauthorized
from stores.accounts.api_keys import KeyChange
from stores.accounts.owner_key import KEY_FILE, OwnerKey
from tests.conftest import answers_http, eventually, free_port
from tests.integration.conftest import AppClient, close_app, open_app, process_environment

REGENERATE = "/api/v1/auth/regenerate"
MESSAGE = "API key regenerated. Update your clients with the new key."
NO_KEY = "Missing or invalid Authorization header"


def bearer(key: str) -> dict[str, str]:
    """The header for a key."""
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def ours(settings: Settings) -> Iterator[AppClient]:
    """A front whose owner's key is in its file."""
    front = open_app(replace(settings, api_key=None))
    yield front
    close_app(front)


@pytest.fixture
def server(ours: AppClient, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Another process on the same folder, as it is served in production: its address and its log."""
    port, log = free_port(), tmp_path / "web.log"
    environment = process_environment(ours.stores.settings, {}) | {"PORT": str(port), "API_KEY": ""}
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "ops", "web"], env=environment, stdout=out, stderr=out)
    address = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: answers_http(f"{address}/health"))
        yield address, log
    finally:
        process.terminate()
        process.wait(20)


def test_the_owner_gets_a_new_key(ours: AppClient) -> None:
    """64 hex digits and a message; the old key is over at once, and what it signed; the file has the new one."""
    old = ours.stores.owner_key.read()
    watching = ours.stores.watch_tokens.issue("a" * 32)
    answer = ours.client.post(REGENERATE, headers=bearer(old))
    new = answer.json["key"]

    assert answer.json == {"key": new, "message": MESSAGE}
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(bytes.fromhex(new)) == 32
    assert json.loads((ours.stores.settings.data_dir / KEY_FILE).read_text()) == {"key": new}
    refused = ours.client.get("/api/v1/jobs", headers=bearer(old))
    assert refused.status_code == 401
    assert ours.client.get("/api/v1/jobs", headers=bearer(new)).status_code == 200
    with pytest.raises(Unauthorized):
        ours.stores.watch_tokens.verify(watching, "a" * 32)


def test_anybody_elses_key_is_replaced_by_one_of_the_same_caller(ours: AppClient) -> None:
    """With the same scopes, also one that may only read; the owner's stays."""
    old = ours.stores.api_keys.create("bob", KeyChange(scopes=frozenset({Scope.READ})))
    bob = ours.stores.api_keys.authenticate(old)
    answer = ours.client.post(REGENERATE, headers={"x-api-key": old})

    assert answer.json["message"] == MESSAGE
    assert ours.stores.api_keys.authenticate(old) is None
    assert ours.stores.api_keys.authenticate(answer.json["key"]) == bob
    assert ours.client.get("/quota", headers=bearer(ours.stores.owner_key.read())).status_code == 200


def test_who_has_no_key_replaces_none(app: AppClient) -> None:
    """401 in the words of its clients; nothing happens by GET."""
    for headers in ({}, bearer("wrong"), {"Cookie": "darkroom_session=" + "A" * 43}):
        refused = app.client.post(REGENERATE, headers=headers)
        assert (refused.status_code, refused.json["error"]) == (401, NO_KEY)
    assert app.get(REGENERATE).status_code == 405


def test_a_key_that_the_environment_sets_stays(app: AppClient) -> None:
    """409, and what to do instead."""
    refused = app.post(REGENERATE)

    assert (refused.status_code, refused.json["code"]) == (409, "conflict")
    assert "change API_KEY" in refused.json["error"]
    assert app.get("/quota").status_code == 200
    assert not (app.stores.settings.data_dir / KEY_FILE).exists()


@pytest.mark.parametrize("owner", [True, False])
def test_of_many_who_replace_a_key_at_once_one_gets_it(ours: AppClient, owner: bool) -> None:
    """And the one that was given is the one that is valid."""
    key = ours.stores.owner_key.read() if owner else ours.stores.api_keys.create("bob")
    together = threading.Barrier(5)
    answers: list[Any] = []

    def ask() -> None:
        together.wait()
        answers.append(ours.client.application.test_client().post(REGENERATE, headers=bearer(key)))

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = [answer.json["key"] for answer in answers if answer.status_code == 200]

    assert len(given) == 1
    assert {answer.status_code for answer in answers} <= {200, 401, 409}
    assert ours.stores.api_keys.authenticate(given[0])


def test_a_running_server_follows_and_says_no_secret(ours: AppClient, server: tuple[str, Path]) -> None:
    """By the API here and by the command, keys and logins; and its log at its most talkative has none of them."""
    address, log = server
    first, tokens = ours.stores.owner_key.read(), []
    with httpx.Client(base_url=address, trust_env=False) as browser:

        def status(key: str) -> int:
            return httpx.get(f"{address}/api/v1/jobs", headers=bearer(key), trust_env=False).status_code

        def login(key: str) -> int:
            code = browser.post("/api/session", json={"key": key}).status_code
            tokens.extend(browser.cookies.values())
            return code

        assert login(first) == browser.get("/api/session").status_code == 200
        second = ours.client.post(REGENERATE, headers=bearer(first)).json["key"]
        eventually(lambda: status(first) == 401)
        assert browser.get("/api/session").status_code == 401
        assert status(second) == 200

        environment = process_environment(ours.stores.settings, {"api_key": ""})
        third = CliRunner().invoke(api_key, ["regenerate"], env=environment).output.split()[-1]
        # A login need not wait until this process has heard of the key.
        assert login(third) == status(third) == 200
        assert login("a guess of somebody's, mistyped") == 401
        assert browser.delete("/api/session").status_code == 403
        fourth = browser.post(REGENERATE, headers=bearer(third)).json()["key"]
        assert OwnerKey(ours.stores.settings.data_dir).read() == fourth
    text = log.read_text()

    assert "login.began" in text
    assert "key.regenerated" in text
    assert len(set(tokens)) == 2
    assert not [secret for secret in (first, second, third, fourth, *tokens, "mistyped") if secret in text]


def test_the_command_is_one_of_darkrooms(tmp_path: Path) -> None:
    """As its user calls it, without anything running."""
    command = [sys.executable, "-m", "ops", "api-key", "regenerate"]
    environment = {"DATA_DIR": str(tmp_path / "data"), "PATH": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout == f"New API key: {OwnerKey(tmp_path / 'data').read()}\n"
