"""What tools and resources return, and what becomes of a job whose client cancels or disconnects."""

import base64
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from PIL import Image

from api.jobs import completion
from api.jobs.hang_up import CANCEL_HEADER
from schemas.jobs.job import GeneratedImage, Job
from tests.conftest import API_KEY, TIMEOUT_S
from tests.integration.agents.conftest import BOTH, McpClient
from tests.integration.conftest import serve_app
from tests.support.images import draw_image, encode
from tests.support.library import LibraryApp, run_image_inspector
from workers.jobs.conversions import convert_result

ASK = {"prompt": "a lighthouse at dusk", "seed": 7, "width": 256, "wait_seconds": 0}


def submit(mcp: McpClient, **arguments: Any) -> str:
    """Submit a job that waits; return its id."""
    text = mcp.text("generate_image", ASK | arguments)
    assert "Call get_job with" in text
    return str(json.loads(text.splitlines()[-1])["id"])


def finish(mcp: McpClient, job_id: str, *pictures: bytes) -> Job:
    """Complete a job, which is the only one that waits, as a worker does."""
    attempts = mcp.app.stores.attempts
    job = attempts.claim("w1")
    assert job
    assert job.id == job_id
    attempts.mark_accepted(job)
    images = []
    for data in pictures:
        with Image.open(io.BytesIO(data)) as image:
            images.append(GeneratedImage(data, f"image/{(image.format or '').lower()}", *image.size))
    keys = attempts.store_images(job, images, b"jpeg")
    attempts.complete(job, images, keys)
    return job


@contextmanager
def begin(client: httpx.Client, url: str, request_id: int) -> Iterator[str]:
    """Call generate_image and read the first progress notification, which names the job; disconnect at the end."""
    params = {"name": "generate_image", "arguments": ASK | {"wait_seconds": 60}, "_meta": {"progressToken": "t"}}
    body = {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params}
    with client.stream("POST", f"{url}/mcp", json=body) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        line = next(line for line in response.iter_lines() if line.startswith("data: "))
        progress = json.loads(line.removeprefix("data: "))["params"]
        assert ("t", 100) == (progress["progressToken"], progress["total"])
        yield str(progress["message"].split()[1])


@pytest.fixture(autouse=True)
def _no_job_waits(mcp: McpClient) -> Iterator[None]:
    """Cancel what a test has left in the queue."""
    yield
    mcp.app.post("/api/v1/jobs/cancel")


def test_a_submission_sets_what_the_api_sets(mcp: McpClient) -> None:
    """Arguments become inputs of the site; a repeated idempotency key gets the first job."""
    first = submit(mcp, negative_prompt="boats", inputs={"steps": 4}, priority=2, idempotency_key="k1")
    again = submit(mcp, negative_prompt="boats", inputs={"steps": 4}, priority=2, idempotency_key="k1")
    job = mcp.app.get_job(first)

    assert first == again
    expected = {"negativePrompt": "boats", "steps": 4, "seed": 7, "width": 256}
    assert expected.items() <= job["inputs"].items()
    assert (2, "studio") == (job["priority"], job["site"])
    other = mcp.text("generate_image", ASK | {"seed": 8, "idempotency_key": "k1"})
    assert "idempotency_mismatch" in other


def test_the_picture_comes_with_its_link(mcp: McpClient) -> None:
    """Small pictures are the original bytes, in the order of the job; the text has a link for each."""
    pictures = [encode(draw_image((64, 48)), form) for form in ("PNG", "JPEG")]
    job_id = submit(mcp)
    finish(mcp, job_id, *pictures)
    result = mcp.call("get_job", {"job_id": job_id})

    shown = [(each["mimeType"], base64.b64decode(each["data"])) for each in result["content"][:-1]]
    assert [("image/png", pictures[0]), ("image/jpeg", pictures[1])] == shown
    text = result["content"][-1]["text"]
    for path, data in ((f"/{job_id}.png", pictures[0]), (f"/{job_id}/2", pictures[1])):
        assert f"http://darkroom.test{path}\n" in text
        assert data == mcp.app.client.get(path).data
    assert "structuredContent" not in result
    assert [f"darkroom://jobs/{job_id}/results/{number}" for number in (1, 2)] == [
        each["resource"] for each in json.loads(text.splitlines()[-1])["pictures"]
    ]


def test_large_pictures_are_scaled_down_and_answers_bounded(mcp: McpClient) -> None:
    """The whole answer stays below the megabyte that clients accept; what does not fit is named with its link."""
    noise = Image.effect_noise((1600, 1200), 120).convert("RGB")
    job_id = submit(mcp)
    finish(mcp, job_id, *[encode(noise, "PNG")] * 3)
    for number in (1, 2, 3):
        convert_result(mcp.app.stores, job_id, f"view-{number}")
    result = mcp.call("get_job", {"job_id": job_id})

    *pictures, text = result["content"]
    assert 1 <= len(pictures) <= 2
    for each in pictures:
        with Image.open(io.BytesIO(base64.b64decode(each["data"]))) as image:
            assert ("JPEG", (1024, 768)) == (image.format, image.size)
    assert len(json.dumps(result)) < 1024 * 1024
    assert f"Picture {len(pictures) + 1} is not part of this answer" in text["text"]
    assert "Picture 1 is shown as a scaled-down copy" in text["text"]


def test_a_failed_job_says_why(mcp: McpClient) -> None:
    """The result is an error with the job's message."""
    job_id = submit(mcp)
    assert "is cancelled" in mcp.text("cancel_job", {"job_id": job_id})
    failed = mcp.call("get_job", {"job_id": job_id})

    assert (True, True) == (failed["isError"], "cancelled" in failed["content"][0]["text"])
    assert "nothing changes" in mcp.text("cancel_job", {"job_id": job_id})


def test_jobs_of_others_do_not_exist(mcp: McpClient) -> None:
    """Neither tools nor resources tell another caller's job from one that never was."""
    job_id = submit(mcp)
    other = McpClient(mcp.app, mcp.app.stores.api_keys.create("bob"))

    for tool in ("get_job", "cancel_job"):
        assert "There is no job" in other.text(tool, {"job_id": job_id})
    assert "error" in other.request("resources/read", {"uri": f"darkroom://jobs/{job_id}"})
    assert "QUEUED" == mcp.app.get_job(job_id)["status"]


def test_results_models_and_sites_are_resources(mcp: McpClient, library: LibraryApp) -> None:
    """The list has results with their types and then models; each can be read, pictures as bytes."""
    picture = encode(draw_image((64, 48)), "PNG")
    job_id = submit(mcp, prompt="listed first")
    finish(mcp, job_id, picture)
    results = mcp.result("resources/list")
    models = mcp.result("resources/list", {"cursor": results["nextCursor"]})

    uri = f"darkroom://jobs/{job_id}/results/1"
    assert (uri, "listed first", "image/png") == tuple(
        results["resources"][0][name] for name in ("uri", "title", "mimeType")
    )
    content = mcp.result("resources/read", {"uri": uri})["contents"][0]
    assert ("image/png", picture) == (content["mimeType"], base64.b64decode(content["blob"]))
    assert ["base", "ink", "other"] == [each["title"] for each in models["resources"]]
    assert 5 == len(mcp.result("resources/templates/list")["resourceTemplates"])

    def read(uri: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(mcp.result("resources/read", {"uri": uri})["contents"][0]["text"])
        return document

    ink = models["resources"][1]["uri"]
    detail = read(ink)
    assert ("ink", True) == (
        detail["name"],
        detail["heroImage"]["thumbPath"].startswith("http://darkroom.test/api/v1/"),
    )
    with run_image_inspector(library.stores):
        thumbnail = mcp.result("resources/read", {"uri": f"{ink}/image"})["contents"][0]
    with Image.open(io.BytesIO(base64.b64decode(thumbnail["blob"]))) as image:
        assert ("image/webp", "WEBP") == (thumbnail["mimeType"], image.format)
    assert "studio" == read("darkroom://sites/studio")["name"]
    assert job_id == read(f"darkroom://jobs/{job_id}")["id"]


def test_sites_and_models_are_found(mcp: McpClient) -> None:
    """Sites come with their inputs; LoRAs of the library with the name that generate_image takes."""
    sites = mcp.data("list_sites")
    assert "studio" == sites["default"]
    assert 1024 == next(site for site in sites["sites"] if site["name"] == "studio")["inputs"]["width"]["maximum"]
    assert {"width", "seed"} <= set(mcp.data("list_sites", {"site": "studio"})["inputs"])

    # This site offers no LoRAs of its own.
    found = mcp.data("search_models", {"query": "ink", "site": "gradio"})
    assert ("gradio", []) == (found["site"], found["siteLoras"])
    assert [("ink", "ink", "LORA")] == [(each["name"], each["lora"], each["type"]) for each in found["models"]]
    pages, cursor = [], {"site": "gradio"}
    while True:
        page = mcp.data("search_models", {"limit": 1, **cursor})
        pages.append(page["models"][0]["name"])
        if not page["nextCursor"]:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert ["base", "ink", "other"] == sorted(pages)


def test_kept_pictures_are_found_by_all_of_their_words(mcp: McpClient) -> None:
    """Words may stand in the name, the collection or an attribute; pages follow one another without gaps."""
    gallery = "/api/v1/gallery"
    slug = mcp.app.post(f"{gallery}/collections", json={"name": "Quiet lakes"}).json["slug"]
    address = mcp.app.get(f"{gallery}/profile").json["address"]
    for number in range(5):
        token_id = mcp.app.get(f"/v1/c/virtual/next/{address}").json["tokenId"]
        fields = {"name": f"Dawn {number}", "attributes": [{"trait_type": "Weather", "value": "fog"}]}
        created = mcp.app.post(f"/v1/c/virtual/token/{slug}/{token_id}", json=fields)
        assert {"success": "true"} == created.json

    def names(**arguments: Any) -> tuple[list[str], str | None]:
        answer = mcp.data("search_gallery", arguments)
        return [each["name"] for each in answer["pictures"]], answer["nextCursor"]

    assert (["Dawn 3"], None) == names(query="LAKES 3 fog")
    assert ([], None) == names(query="dawn snow")
    assert 5 == len(names(collection=slug)[0])
    first, cursor = names(query="dawn", limit=2)
    second, cursor = names(query="dawn", limit=2, cursor=cursor)
    third, end = names(query="dawn", limit=2, cursor=cursor)
    assert ([f"Dawn {number}" for number in (4, 3, 2, 1, 0)], None) == (first + second + third, end)


def test_a_cancelled_call_cancels_its_job_and_no_other(mcp: McpClient) -> None:
    """The session and the id of the call name the job, whichever of the two messages comes first."""
    mine, other = (McpClient(mcp.app, session=session) for session in ("one", "two"))
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}

    assert 202 == mine.post(cancel).status_code
    overtaken = mine.call("generate_image", ASK, request_id=5)
    assert (True, True) == (overtaken["isError"], "cancelled" in overtaken["content"][0]["text"])

    with serve_app(mcp.app.client.application) as url:
        headers = {"Authorization": f"Bearer {API_KEY}", "Accept": BOTH, "Mcp-Session-Id": "one"}
        with (
            httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False) as client,
            begin(client, url, 6) as job_id,
        ):
            for harmless in (
                other,
                McpClient(mcp.app),
                McpClient(mcp.app, mcp.app.stores.api_keys.create("eve"), "one"),
            ):
                assert 202 == harmless.post(cancel | {"params": {"requestId": 6}}).status_code
            for malformed in ({"requestId": "6"}, {"requestId": None}, {}):
                assert 202 == mine.post(cancel | {"params": malformed}).status_code
            assert "QUEUED" == mcp.app.get_job(job_id)["status"]
            assert 202 == mine.post(cancel | {"params": {"requestId": 6}}).status_code
            assert "cancelled" == mcp.app.wait_for_end(job_id)["error"]["code"]


def test_a_stream_stays_alive_while_nothing_happens(mcp: McpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments precede the reply, which is the last event; a client that takes JSON only gets the reply alone."""
    monkeypatch.setattr(completion, "HEARTBEAT_S", 0.2)
    params = {"name": "generate_image", "arguments": ASK | {"wait_seconds": 1}}
    body = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": params}
    stream, plain = mcp.post(body), mcp.post(body, Accept="application/json")

    *heartbeats, reply = stream.get_data(as_text=True).strip().split("\n\n")
    assert ("text/event-stream", {": keep-alive"}) == (stream.mimetype, set(heartbeats))
    assert 9 == json.loads(reply.partition("data: ")[2])["id"]
    assert "Call get_job with" in plain.json["result"]["content"][0]["text"]


def test_a_client_that_disconnects_does_not_lose_its_job(mcp: McpClient) -> None:
    """The job goes on, unless the client has asked for the opposite."""
    headers = {"Authorization": f"Bearer {API_KEY}", "Accept": BOTH}
    with serve_app(mcp.app.client.application) as url:
        with httpx.Client(headers=headers | {CANCEL_HEADER: "true"}, timeout=TIMEOUT_S, trust_env=False) as client:
            with begin(client, url, 1) as job_id:
                pass
            assert "cancelled" == mcp.app.wait_for_end(job_id)["error"]["code"]
        with (
            httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False) as client,
            begin(client, url, 1) as job_id,
        ):
            pass
    picture = encode(draw_image((64, 48)), "PNG")
    finish(mcp, job_id, picture)

    assert picture == base64.b64decode(mcp.call("get_job", {"job_id": job_id})["content"][0]["data"])
