"""The endpoint ``/mcp``: who may call it, versions of the protocol, and errors of messages."""

import json
import subprocess
import sys
from typing import Any

import pytest
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

from ops.infra.settings import ROOT
from schemas.accounts.caller import Scope, parse_limits
from stores.accounts.api_keys import KeyChange
from tests.integration.agents.conftest import PATH, McpClient

NOW = "2026-07-28"
ENVELOPE = {"_meta": {PROTOCOL_VERSION_META_KEY: NOW, CLIENT_CAPABILITIES_META_KEY: {}}}
PING = {"jsonrpc": "2.0", "id": 7, "method": "ping"}
GENERATING = {"generate_image", "cancel_job"}
READING = {"get_job", "search_models", "list_sites", "search_gallery"}


def initialize(mcp: McpClient, version: str) -> Any:
    """Begin a session."""
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    return mcp.post({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})


@pytest.mark.parametrize("key", ["", "wrong" * 8, "x" * 5000])
def test_a_client_without_a_valid_key_is_challenged(mcp: McpClient, key: str) -> None:
    """The answer is 401 with the challenge of RFC 6750, and its body is a JSON-RPC error that says what to send."""
    response = McpClient(mcp.app, key).post(PING)

    challenge = response.headers["WWW-Authenticate"]
    assert (401, True) == (response.status_code, challenge.startswith('Bearer realm="Darkroom"'))
    assert ("invalid_token" in challenge) == bool(key)
    assert "resource_metadata" not in challenge
    assert (None, "unauthorized") == (response.json["id"], response.json["error"]["data"]["code"])
    assert "Authorization: Bearer KEY" in response.json["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        *(f"/.well-known/{name}" for name in ("oauth-protected-resource", "oauth-authorization-server")),
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/openid-configuration",
        "/register",
    ],
)
def test_clients_that_look_for_oauth_find_none(mcp: McpClient, path: str) -> None:
    """The addresses at which they look are 404 in JSON, so that they report a missing key and open no browser."""
    response = mcp.app.client.open(path, method="POST" if path == "/register" else "GET")

    assert (404, "application/json") == (response.status_code, response.mimetype)


def test_pages_of_other_origins_are_refused(mcp: McpClient) -> None:
    """DNS rebinding makes Host and Origin equal; only the public URL counts, and CORS_ORIGINS."""
    evil, own = "http://evil.test:3000", "http://darkroom.test"

    assert 403 == mcp.post(PING, Origin=evil, Host="evil.test:3000").status_code
    assert 403 == mcp.post(PING, Origin="null").status_code
    assert 200 == mcp.post(PING, Origin=own).status_code


def test_only_post_is_offered(mcp: McpClient) -> None:
    """There is neither a stream of the server's own nor a session to delete."""
    for method in ("GET", "DELETE", "PUT"):
        response = mcp.app.client.open(PATH, method=method, headers={"Authorization": f"Bearer {mcp.key}"})
        assert (405, True) == (response.status_code, "POST" in response.headers["Allow"])
        assert "error" in response.json


@pytest.mark.parametrize("version", HANDSHAKE_PROTOCOL_VERSIONS)
def test_each_version_with_a_handshake_is_spoken(mcp: McpClient, version: str) -> None:
    """The server agrees to the client's version and gives the session an id."""
    response = initialize(mcp, version)

    assert version == response.json["result"]["protocolVersion"]
    assert {"tools", "resources"} == set(response.json["result"]["capabilities"])
    session = response.headers["Mcp-Session-Id"]
    assert session != initialize(mcp, version).headers["Mcp-Session-Id"]
    ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    assert 202 == mcp.post(ready, **{"Mcp-Session-Id": session, "MCP-Protocol-Version": version}).status_code
    listed = mcp.post({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, **{"MCP-Protocol-Version": version})
    assert GENERATING | READING == {tool["name"] for tool in listed.json["result"]["tools"]}


def test_an_unknown_version_is_answered_with_the_newest_known_one(mcp: McpClient) -> None:
    """The client decides whether it goes on."""
    assert HANDSHAKE_PROTOCOL_VERSIONS[-1] == initialize(mcp, "2031-01-01").json["result"]["protocolVersion"]


def test_the_version_without_a_handshake_is_spoken(mcp: McpClient) -> None:
    """Each request states version and capabilities; header and body have to agree."""

    def ask(method: str, params: dict[str, Any], **headers: str) -> Any:
        body = {"jsonrpc": "2.0", "id": 3, "method": method, "params": params}
        return mcp.post(body, **{"MCP-Protocol-Version": NOW, "Mcp-Method": method} | headers)

    discovered = ask("server/discover", ENVELOPE)
    assert [NOW] == discovered.json["result"]["supportedVersions"]
    assert 6 == len(ask("tools/list", ENVELOPE).json["result"]["tools"])
    assert 400 == ask("tools/list", {}).status_code
    assert 400 == ask("tools/list", ENVELOPE, **{"Mcp-Method": "ping"}).status_code
    assert 400 == ask("tools/list", ENVELOPE, **{"MCP-Protocol-Version": "2031-01-01"}).status_code
    assert 404 == ask("no/such", ENVELOPE).status_code


@pytest.mark.parametrize(
    "body",
    [
        [],
        [PING],
        "ping",
        5,
        {"id": 1},
        {"jsonrpc": "1.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "id": {"a": 1}, "method": "ping"},
        {"jsonrpc": "2.0", "id": None, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
    ],
)
def test_bodies_other_than_one_message_are_rejected(mcp: McpClient, body: Any) -> None:
    """Batches, broken messages and other JSON get 400."""
    response = mcp.post(body)

    assert (400, -32600) == (response.status_code, response.json["error"]["code"])


@pytest.mark.parametrize(
    ("data", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"", {}, 400),
        (json.dumps(PING).encode(), {"Content-Type": "text/plain"}, 415),
        (json.dumps(PING).encode(), {"Accept": "text/html"}, 406),
        (json.dumps(PING).encode(), {"Mcp-Session-Id": "a b"}, 400),
        (json.dumps(PING).encode(), {"Mcp-Session-Id": "x" * 500}, 400),
        (json.dumps(PING).encode(), {"Accept": "application/json"}, 200),
        (json.dumps(PING).encode(), {"Accept": "*/*"}, 200),
    ],
)
def test_headers_and_bodies_are_checked(mcp: McpClient, data: bytes, headers: dict[str, str], status: int) -> None:
    """Every error is a JSON-RPC message that says what is wrong."""
    known = {"Authorization": f"Bearer {mcp.key}", "Content-Type": "application/json"}
    response = mcp.app.client.post(PATH, data=data, headers=known | headers)

    assert status == response.status_code, response.get_data(as_text=True)
    assert ("error" in response.json) is (status != 200)


def test_a_key_sees_and_calls_the_tools_of_its_scopes_only(mcp: McpClient) -> None:
    """A key that may only read neither lists nor calls the tools that generate."""
    key = mcp.app.stores.api_keys.create("reader", KeyChange(scopes=frozenset({Scope.READ})))
    reader = McpClient(mcp.app, key)

    assert READING == {tool["name"] for tool in reader.result("tools/list")["tools"]}
    for tool, arguments in (("generate_image", {"prompt": "a quiet lake"}), ("cancel_job", {"job_id": "0" * 32})):
        refused = reader.call(tool, arguments)
        assert (True, True) == (refused["isError"], "scope 'generate'" in refused["content"][0]["text"])
    assert not reader.call("list_sites").get("isError")
    assert [] == mcp.app.get("/api/v1/jobs").json["jobs"]


def test_quotas_are_reported_in_words(mcp: McpClient) -> None:
    """A model can read what limit was reached; nothing is submitted."""
    limits = parse_limits("daily=1,rate=2/minute")
    poor = McpClient(mcp.app, mcp.app.stores.api_keys.create("poor", KeyChange(limits=limits)))
    ask = {"prompt": "a quiet lake", "wait_seconds": 0}

    assert not poor.call("generate_image", ask).get("isError")
    for expected in ("picture", "Too many requests"):
        refused = poor.call("generate_image", ask)
        assert (True, True) == (refused["isError"], expected in refused["content"][0]["text"]), refused
        assert "limit_reached" in refused["content"][0]["text"]


@pytest.mark.parametrize(
    ("tool", "arguments", "expected"),
    [
        ("generate_image", {}, "prompt"),
        ("generate_image", {"prompt": ""}, "prompt"),
        ("generate_image", {"prompt": "a", "width": "wide"}, "width"),
        ("generate_image", {"prompt": "a", "width": 10**30}, "width"),
        ("generate_image", {"prompt": "a", "colour": "red"}, "colour"),
        ("generate_image", {"prompt": "a", "inputs": {"colour": "red"}}, "studio takes"),
        ("generate_image", {"prompt": "a", "inputs": {"colour": json.loads("[" * 500 + "]" * 500)}}, "studio takes"),
        ("generate_image", {"prompt": "a", "image": "http://127.0.0.1/a.png"}, "image"),
        ("generate_image", {"prompt": "a", "guidance": 7}, "guidance"),
        ("generate_image", {"prompt": "a", "site": "nowhere"}, "nowhere"),
        ("generate_image", {"prompt": "a", "site": {"a": 1}}, "site"),
        ("generate_image", {"prompt": "a", "priority": 99}, "priority"),
        ("generate_image", {"prompt": "a", "wait_seconds": 10_000}, "wait_seconds"),
        ("generate_image", {"prompt": "a", "idempotency_key": "a b"}, "idempotency_key"),
        ("generate_image", {"prompt": "a", "webhook": "http://169.254.169.254/"}, "webhook"),
        ("generate_image", {"prompt": "a\x00"}, "prompt"),
        ("get_job", {"job_id": "../../etc"}, "job_id"),
        ("get_job", {"job_id": "0" * 32}, "There is no job"),
        ("cancel_job", {"job_id": "0" * 32}, "There is no job"),
        ("list_sites", {"site": "nowhere"}, "nowhere"),
        ("search_models", {"query": "dim:wide"}, "dim"),
        ("search_models", {"cursor": "%"}, "cursor"),
        ("search_gallery", {"cursor": "9999.x"}, "cursor"),
        ("search_gallery", {"explicit": "maybe"}, "explicit"),
        ("search_gallery", {"collection": "nothing-there"}, "ollection"),
    ],
)
def test_errors_of_a_call_are_texts(mcp: McpClient, tool: str, arguments: dict[str, Any], expected: str) -> None:
    """A model reads the text of a result and corrects its call."""
    result = mcp.call(tool, arguments)

    assert (True, True) == (result["isError"], expected in result["content"][0]["text"]), result


def test_a_process_that_serves_no_agents_does_not_load_the_sdk() -> None:
    """It would take a second and 30 MB of every web process."""
    check = "import sys, api; sys.exit(any(name in sys.modules for name in ('mcp', 'mcp_types', 'pydantic')))"

    assert 0 == subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode


def test_unknown_tools_and_malformed_calls_are_errors_of_the_protocol(mcp: McpClient) -> None:
    """They are mistakes of the client and not of the model."""
    unknown = mcp.request("tools/call", {"name": "draw" * 100, "arguments": {}})["error"]
    assert (-32602, True) == (unknown["code"], len(unknown["message"]) < 200)
    assert -32602 == mcp.request("tools/call", {"arguments": {}})["error"]["code"]
    assert -32602 == mcp.request("tools/call", {"name": "list_sites", "arguments": []})["error"]["code"]
    assert -32601 == mcp.request("no/such")["error"]["code"]
    assert -32602 == mcp.request("resources/list", {"cursor": "z.!"})["error"]["code"]
    for uri in ("file:///etc/passwd", "darkroom://jobs/../x", f"darkroom://jobs/{'0' * 32}", "darkroom://models/999"):
        assert -32602 == mcp.request("resources/read", {"uri": uri})["error"]["code"], uri
