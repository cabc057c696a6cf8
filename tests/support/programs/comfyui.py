"""A server with the documented API of ComfyUI, and a page that uses it as ComfyUI's does."""

import asyncio
import io
import struct
import uuid
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, JSONResponse

from tests.support.programs.rendering import STEPS, render_image

PAGE = Path(__file__).parent / "comfyui.html"
STEP_S = 0.2
MAX_STEPS = 100
PREVIEW_EVENT, JPEG_KIND = 1, 1

router = APIRouter()
listeners: dict[str, WebSocket] = {}
saved_images: dict[str, bytes] = {}
running: set[asyncio.Task[None]] = set()


@router.get("/")
def page() -> HTMLResponse:
    """Return the page."""
    return HTMLResponse(PAGE.read_text())


@router.websocket("/ws")
async def listen(socket: WebSocket, clientId: str = "") -> None:  # noqa: N803 - the program's own word
    """Send a page the messages about its own prompts."""
    await socket.accept()
    client = clientId or uuid.uuid4().hex
    listeners[client] = socket
    await socket.send_json({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}, "sid": client}})
    try:
        while True:
            await socket.receive_text()
    except WebSocketDisconnect:
        listeners.pop(client, None)


@router.post("/prompt")
async def queue(request: Request) -> JSONResponse:
    """Queue a workflow in the API format."""
    body = await request.json()
    nodes = body["prompt"]
    if not nodes or any("class_type" not in node for node in nodes.values()):
        return JSONResponse({"error": {"type": "invalid_prompt", "message": "no workflow"}}, 400)
    if any(node["inputs"].get("steps", 1) > MAX_STEPS for node in nodes.values()):
        return JSONResponse({"error": {"type": "prompt_outputs_failed_validation", "message": "Too many steps"}}, 400)
    prompt_id = uuid.uuid4().hex
    task = asyncio.create_task(_execute(prompt_id, nodes, body["client_id"]))
    running.add(task)
    task.add_done_callback(running.discard)
    return JSONResponse({"prompt_id": prompt_id, "number": 1, "node_errors": {}})


@router.get("/view")
def view(filename: str, subfolder: str = "", type: str = "output") -> Response:  # noqa: A002 - the program's own word
    """Return a finished image."""
    data = saved_images.get(f"{type}/{subfolder}/{filename}")
    return Response(data, media_type="image/png") if data else Response(status_code=404)


async def _execute(prompt_id: str, nodes: dict[str, Any], client: str) -> None:
    socket = listeners[client]

    async def send(kind: str, **data: Any) -> None:
        await socket.send_json({"type": kind, "data": {"prompt_id": prompt_id, **data}})

    texts = [node["inputs"]["text"] for node in nodes.values() if node["class_type"] == "CLIPTextEncode"]
    sampler_id, sampler = next((key, node) for key, node in nodes.items() if node["class_type"] == "KSampler")
    latent = next(node for node in nodes.values() if node["class_type"] == "EmptyLatentImage")["inputs"]
    save_id = next(key for key, node in nodes.items() if node["class_type"] == "SaveImage")
    text = f"{'|'.join(texts)}|{sampler['inputs']['seed']}|{sampler['inputs']['steps']}"
    await send("execution_start")
    await send("executing", node=sampler_id)
    for step in range(1, STEPS + 1):
        await asyncio.sleep(STEP_S)
        if "forbidden" in text:
            await send("execution_error", node_id=sampler_id, exception_message="The sampler has refused.")
            return
        await send("progress", node=sampler_id, value=step, max=STEPS)
        preview = io.BytesIO()
        render_image(text, brightness=step / STEPS).save(preview, "JPEG")
        await socket.send_bytes(struct.pack(">II", PREVIEW_EVENT, JPEG_KIND) + preview.getvalue())
    images = [_save(text, number, (latent["width"], latent["height"])) for number in range(latent["batch_size"])]
    await send("executed", node=save_id, output={"images": images})
    await send("executing", node=None)


def _save(text: str, number: int, size: tuple[int, int]) -> dict[str, str]:
    out = io.BytesIO()
    render_image(text, number, size).save(out, "PNG")
    name = f"ComfyUI {uuid.uuid4().hex[:8]} {number}.png"
    saved_images[f"output//{name}"] = out.getvalue()
    return {"filename": name, "subfolder": "", "type": "output"}
