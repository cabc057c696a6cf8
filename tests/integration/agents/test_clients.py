"""The SDK's own client against a whole Darkroom: over HTTP to gunicorn, and over stdio to ``darkroom mcp``."""

import base64
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ImageContent, TextContent
from PIL import Image
from playwright._impl._driver import compute_driver_executable

from ops.infra.settings import ROOT
from ops.testbed.stack import KEY, Stack, run_stack
from tests.conftest import TIMEOUT_S, describe_image, eventually
from tests.support.node_packages import install_node_packages

COMMAND = [sys.executable, "-m", "ops", "mcp"]
PROMPT = "a lighthouse at dusk, oil painting"
QUICK = {"width": 256, "height": 256, "steps": 4}
TOOLS = {"generate_image", "get_job", "cancel_job", "search_models", "list_sites", "search_gallery"}
OLD, NOW = "2025-11-25", "2026-07-28"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A Darkroom under gunicorn, with a worker and its browser."""
    with run_stack("web", "worker", "background") as running:
        yield running


@asynccontextmanager
async def connect(stack: Stack, transport: str, mode: str) -> AsyncIterator[Client]:
    """Connect a client of the SDK, unmodified."""
    url = stack.settings.public_url
    if transport == "stdio":
        environment = {"DARKROOM_URL": url, "DARKROOM_KEY": KEY, "PYTHONPATH": str(ROOT)}
        parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:], env=environment)
        async with Client(parameters, mode=mode) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {KEY}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_S, trust_env=False) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


def run_agent(stack: Stack, transport: str, mode: str, act: Callable[[Client], Any]) -> Any:
    """Run ``act`` with a connected client, within a time limit."""

    async def run() -> Any:
        with anyio.fail_after(2 * TIMEOUT_S):
            async with connect(stack, transport, mode) as client:
                return await act(client)

    return anyio.run(run)


def parts(result: CallToolResult) -> tuple[ImageContent, str]:
    """Return the picture and the text of a result."""
    picture, text = result.content
    assert isinstance(picture, ImageContent)
    assert isinstance(text, TextContent)
    return picture, text.text


@pytest.mark.parametrize(("transport", "mode"), [("http", "auto"), ("http", "legacy"), ("stdio", "legacy")])
def test_an_agent_gets_the_picture_itself(stack: Stack, transport: str, mode: str) -> None:
    """Progress arrives on the way; the picture is that of the link, made by the studio; resources have it too."""
    seen: list[float] = []

    async def watch(progress: float, total: float | None, message: str | None) -> None:
        assert (100, True) == (total, bool(message))
        seen.append(progress)

    async def act(client: Client) -> tuple[str, CallToolResult, bytes]:
        assert TOOLS == {tool.name for tool in (await client.list_tools()).tools}
        ask = {"prompt": PROMPT, "seed": 7, **QUICK}
        made = await client.call_tool("generate_image", ask, progress_callback=watch)
        resource = json.loads(parts(made)[1].splitlines()[-1])["pictures"][0]["resource"]
        content = (await client.read_resource(resource)).contents[0]
        return client.protocol_version, made, base64.b64decode(content.blob)

    version, made, resource = run_agent(stack, transport, mode, act)

    picture, text = parts(made)
    link = next(line.split()[-1] for line in text.splitlines() if line.startswith("Picture 1: "))
    data = base64.b64decode(picture.data)
    assert {"auto": NOW, "legacy": OLD}[mode] == version
    assert data == resource == httpx.get(link, timeout=TIMEOUT_S, trust_env=False).content
    with Image.open(io.BytesIO(data)) as image:
        assert ("image/png", "PNG", (256, 256)) == (picture.mime_type, image.format, image.size)
    # The studio draws the same from the same words and seed.
    with stack.client() as http:
        body = {"prompt": PROMPT, "inputs": {"seed": 7, **QUICK}}
        job_id = http.post("/api/v1/jobs", json=body).json()["id"]
        eventually(lambda: ended(http, job_id))
        assert describe_image(data) == describe_image(http.get(f"/api/v1/jobs/{job_id}/result").content)
    assert len(seen) >= 2
    assert sorted(set(seen)) == seen


def ended(http: httpx.Client, job_id: str) -> dict[str, Any] | None:
    """Return the job if it has ended."""
    job: dict[str, Any] = http.get(f"/api/v1/jobs/{job_id}").json()
    return job if job["status"] in ("COMPLETED", "FAILED") else None


def test_a_cancelled_call_cancels_its_job_over_both_transports(stack: Stack) -> None:
    """With a handshake the SDK says so itself; stdio passes the client's message on."""
    ask = {"prompt": "an endless sea", "width": 1024, "height": 1024, "steps": 60}
    for transport, mode in (("http", "legacy"), ("stdio", "auto")):

        async def act(client: Client) -> str:
            started = anyio.Event()
            names: list[str] = []

            async def watch(_progress: float, _total: float | None, message: str | None) -> None:
                names.append((message or "").split()[1])
                started.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: client.call_tool("generate_image", ask, progress_callback=watch))
                await started.wait()
                tasks.cancel_scope.cancel()
            # The session goes on.
            await client.list_tools()
            return names[0]

        job_id = run_agent(stack, transport, mode, act)
        with stack.client() as http:
            job = eventually(partial(ended, http, job_id))
        assert "cancelled" == (job["error"] or {}).get("code"), (transport, mode, job)


def test_an_answer_that_takes_too_long_names_the_job(stack: Stack) -> None:
    """The job goes on, and get_job waits for its picture; a large one comes as a copy."""

    async def act(client: Client) -> tuple[CallToolResult, CallToolResult]:
        found = await client.call_tool("search_models", {"query": "ukiyo"})
        assert ["Ukiyo-e"] == [each["lora"] for each in found.structured_content["siteLoras"]]
        ask = {"prompt": "a market in the rain", "width": 1024, "height": 1024, "steps": 6, "wait_seconds": 0}
        begun = await client.call_tool("generate_image", ask)
        job_id = json.loads(begun.content[-1].text.splitlines()[-1])["id"]
        return begun, await client.call_tool("get_job", {"job_id": job_id, "wait_seconds": 60})

    begun, done = run_agent(stack, "http", "auto", act)
    assert (False, 1) == (begun.is_error, len(begun.content))
    picture, _ = parts(done)
    data = base64.b64decode(picture.data)
    assert len(data) <= 600_000
    with Image.open(io.BytesIO(data)) as image:
        # The studio's own is a PNG of more than a megabyte; a background process has made the copy.
        assert ("JPEG", (1024, 1024)) == (image.format, image.size)


def test_stdio_reports_that_no_darkroom_runs(tmp_path: Path) -> None:
    """Stdout has one JSON-RPC error for each request and nothing else, whatever arrives."""
    ask, tell = '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}', '{"jsonrpc":"2.0","method":"x/y"}'
    # Nothing listens on the second address.
    elsewhere = {"DARKROOM_URL": "http://127.0.0.1:1", "DARKROOM_KEY": "k" * 32}
    started = [
        (start_stdio(tmp_path, variables), expected)
        for variables, expected in (({}, "No Darkroom is running here"), (elsewhere, "Darkroom does not answer"))
    ]
    for process, expected in started:
        stdout, stderr = process.communicate(f"{ask}\nnot json\n{tell}\n", timeout=TIMEOUT_S)
        answers = [json.loads(line) for line in stdout.splitlines()]
        assert (0, [1, None]) == (process.returncode, [answer["id"] for answer in answers]), stderr
        assert expected in answers[0]["error"]["message"]
        assert expected in stderr


def start_stdio(folder: Path, variables: dict[str, str]) -> "subprocess.Popen[str]":
    """Start the command with an empty data folder."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, "--data", str(folder)],
        env={"PYTHONPATH": str(ROOT), "DATA_DIR": str(folder), **variables},
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def test_the_inspector_finds_nothing_to_object_to(stack: Stack, tmp_path: Path) -> None:
    """The protocol's own inspector, which has the SDK for TypeScript, checks the tools strictly and calls one."""
    packages = install_node_packages("npm-inspector")
    program = packages / "node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js"
    url, header = f"{stack.settings.public_url}/mcp", f"Authorization: Bearer {KEY}"

    def inspect(*arguments: str) -> dict[str, Any]:
        command = [compute_driver_executable()[0], str(program), "--cli", url, "--transport", "http"]
        done = subprocess.run(
            [*command, "--header", header, "--method", *arguments],
            env={"HOME": str(tmp_path), "MCP_CATALOG_PATH": str(tmp_path / "catalog.json")},
            capture_output=True,
            text=True,
            timeout=2 * TIMEOUT_S,
            check=False,
        )
        assert (0, "") == (done.returncode, done.stderr)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    assert TOOLS == {tool["name"] for tool in inspect("tools/list", "--strict")["tools"]}
    ask = [f"{name}={value}" for name, value in {"prompt": PROMPT, **QUICK}.items()]
    made = inspect("tools/call", "--tool-name", "generate_image", "--tool-arg", *ask)
    with Image.open(io.BytesIO(base64.b64decode(made["content"][0]["data"]))) as image:
        assert ("PNG", (256, 256)) == (image.format, image.size)
