"""One app with a model library for the tests of a file, and calls as clients of MCP make them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from ops.infra.settings import Settings
from tests.conftest import API_KEY, isolated_settings
from tests.integration.conftest import AppClient
from tests.support.images import VALID_IMAGES
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import write_safetensors

PATH = "/mcp"
BOTH = "application/json, text/event-stream"


@dataclass(frozen=True)
class McpClient:
    """A client that sends single messages, of a protocol version with a handshake."""

    app: AppClient
    key: str = API_KEY
    session: str = ""

    def post(self, body: Any, **headers: str) -> Any:
        """POST a message."""
        known = {"Authorization": f"Bearer {self.key}", "Accept": BOTH, "MCP-Protocol-Version": "2025-11-25"}
        known |= {"Mcp-Session-Id": self.session} if self.session else {}
        return self.app.client.post(PATH, json=body, headers=known | headers, buffered=True)

    def request(self, method: str, params: dict[str, Any] | None = None, request_id: int = 1) -> dict[str, Any]:
        """Send a request; return the reply, which may be the last message of a stream."""
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params or {}}
        response = self.post(body)
        assert response.status_code == 200, response.get_data(as_text=True)
        if response.is_json:
            reply: dict[str, Any] = response.json
            return reply
        last: dict[str, Any] = json.loads(response.get_data(as_text=True).split("data: ")[-1])
        return last

    def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request that succeeds."""
        result: dict[str, Any] = self.request(method, params)["result"]
        return result

    def call(self, tool: str, arguments: dict[str, Any] | None = None, request_id: int = 1) -> dict[str, Any]:
        """Call a tool; return its result, which may say that it failed."""
        params = {"name": tool, "arguments": arguments or {}}
        result: dict[str, Any] = self.request("tools/call", params, request_id)["result"]
        return result

    def text(self, tool: str, arguments: dict[str, Any] | None = None) -> str:
        """Call a tool; return its last text."""
        return str(self.call(tool, arguments)["content"][-1]["text"])

    def data(self, tool: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call a tool that returns data."""
        result = self.call(tool, arguments)
        assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
        data: dict[str, Any] = result["structuredContent"]
        return data


@pytest.fixture(scope="module")
def library(base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LibraryApp]:
    """An app without workers, whose library has two LoRAs, one with a picture, and a checkpoint."""
    folder = tmp_path_factory.mktemp("agents")
    models = folder / "models"
    write_safetensors(models / "loras" / "ink.safetensors", data=b"ink")
    (models / "loras" / "ink.preview.png").write_bytes(VALID_IMAGES["png"][0])
    write_safetensors(models / "loras" / "other.safetensors", data=b"other")
    write_safetensors(models / "checkpoints" / "base.safetensors", data=b"base")
    settings = replace(isolated_settings(base_settings, redis_url, folder), public_url="http://darkroom.test")
    with open_library_app(settings, models) as opened:
        opened.scan()
        yield opened


@pytest.fixture(scope="module")
def mcp(library: LibraryApp) -> McpClient:
    """A client with the owner's key."""
    return McpClient(library.app)
