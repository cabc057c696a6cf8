"""The HTTP routes and the socket of InvokeAI, and a few of the tests' own below ``/test``."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import socketio
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.staticfiles import StaticFiles
from PIL import Image
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.support.programs.invokeai.queue import Queue

VERSION = "6.14.2"
MODELS = ("Dreamshaper 8", "Deliberate v5")

api = APIRouter(prefix="/api/v1")


def create_app(page: Path) -> FastAPI:
    """Return a server for the page in a folder."""
    sockets = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*")

    async def emit(event: str, data: dict[str, Any]) -> None:
        await sockets.emit(event, data, room="default")

    async def subscribe(sid: str, data: dict[str, Any]) -> None:
        await sockets.enter_room(sid, data["queue_id"])

    sockets.on("subscribe_queue", subscribe)

    @asynccontextmanager
    async def run_queue(app: FastAPI) -> AsyncIterator[None]:
        app.state.queue, app.state.sockets, app.state.refuses_websockets = Queue(emit), sockets, False
        task = asyncio.create_task(app.state.queue.run_forever())
        yield
        task.cancel()

    app = FastAPI(lifespan=run_queue, openapi_url=None)
    app.include_router(api)
    app.include_router(other)
    app.mount("/ws", _refuse_websockets(app, socketio.ASGIApp(sockets, socketio_path="/ws/socket.io")))
    app.mount("/", StaticFiles(directory=page, html=True))
    return app


def _refuse_websockets(app: FastAPI, sockets: ASGIApp) -> ASGIApp:
    """Refuse WebSockets when a test asks for it, as a proxy does that was not set up for them."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" and app.state.refuses_websockets:
            await send({"type": "websocket.close"})
        else:
            await sockets(scope, receive, send)

    return serve


def _queue(request: Request) -> Queue:
    queue: Queue = request.app.state.queue
    return queue


# The program


@api.get("/app/version")
def show_version() -> dict[str, str]:
    """Return the version, by which the program is recognized."""
    return {"version": VERSION}


@api.get("/app/app_deps")
def show_dependencies() -> dict[str, str]:
    """Return versions of libraries."""
    return {"torch": "2.7.1"}


@api.get("/app/runtime_config")
def show_configuration() -> dict[str, Any]:
    """Return the settings of the server."""
    return {"set_fields": [], "config": {}}


@api.get("/app/patchmatch_status")
def show_patchmatch() -> bool:
    """Return whether inpainting with PatchMatch is available."""
    return True


@api.get("/app/generation_device_options")
def list_devices() -> list[str]:
    """Return the devices to choose from."""
    return []


@api.get("/auth/status")
def show_accounts() -> dict[str, Any]:
    """Say that there are no accounts."""
    flags = ("setup_required", "multiuser_enabled", "strict_password_checking")
    return {**dict.fromkeys(flags, False), "admin_email": None}


@api.get("/client_state/default/get_by_key")
def read_client_state(request: Request, key: str) -> str | None:
    """Return a part of the page's fields, as any page left them: the page has no memory of its own."""
    return _queue(request).client_state.get(key)


@api.post("/client_state/default/set_by_key")
async def write_client_state(request: Request, key: str) -> str:
    """Keep a part of the page's fields."""
    text = (await request.body()).decode()
    _queue(request).client_state[key] = text
    return text


# The queue


@api.get("/queue/default/status")
def show_queue(request: Request) -> dict[str, Any]:
    """Return the status of the queue and of what works on it."""
    queue = _queue(request)
    return {"queue": queue.status(), "processor": {"is_started": True, "is_processing": queue.current is not None}}


@api.post("/queue/default/enqueue_batch", status_code=201)
async def enqueue(request: Request) -> dict[str, Any]:
    """Queue a batch."""
    return await _queue(request).enqueue((await request.json())["batch"])


@api.get("/queue/default/current")
def show_current(request: Request) -> dict[str, Any] | None:
    """Return the item that runs."""
    item = _queue(request).current
    return item.to_json() if item else None


@api.get("/queue/default/i/{item_id}")
def show_item(request: Request, item_id: int) -> dict[str, Any]:
    """Return an item."""
    if item_id not in _queue(request).items:
        raise HTTPException(404)
    return _queue(request).items[item_id].to_json()


@api.put("/queue/default/i/{item_id}/cancel")
async def cancel(request: Request, item_id: int) -> dict[str, Any]:
    """Cancel an item."""
    if item_id not in _queue(request).items:
        raise HTTPException(404)
    item = _queue(request).items[item_id]
    await _queue(request).cancel(item)
    return item.to_json()


@api.put("/queue/default/cancel_by_batch_ids")
async def cancel_batches(request: Request) -> dict[str, int]:
    """Cancel the items of batches."""
    queue, batch_ids = _queue(request), (await request.json())["batch_ids"]
    chosen = [item for item in queue.items.values() if item.batch_id in batch_ids]
    for item in chosen:
        await queue.cancel(item)
    return {"canceled": len(chosen)}


@api.get("/queue/default/b/{batch_id}/status")
def show_batch(request: Request, batch_id: str) -> dict[str, Any]:
    """Return the status of a batch."""
    return _queue(request).batch_status(batch_id)


@api.get("/queue/default/counts_by_destination")
def count_by_destination(request: Request, destination: str) -> dict[str, Any]:
    """Return the number of items of one destination."""
    counts = _queue(request).counts(lambda item: item.destination == destination)
    return {"queue_id": "default", "destination": destination, **counts}


@api.get("/queue/default/item_ids")
def list_item_ids(request: Request) -> dict[str, Any]:
    """Return the ids of all items."""
    ids = list(reversed(_queue(request).items))
    return {"item_ids": ids, "total_count": len(ids)}


@api.post("/queue/default/item_summaries_by_ids")
async def list_items(request: Request) -> list[dict[str, Any]]:
    """Return summaries of items."""
    queue = _queue(request)
    return [queue.items[one].summary() for one in (await request.json())["item_ids"] if one in queue.items]


# Pictures


@api.post("/images/upload", status_code=201)
async def upload(request: Request, file: UploadFile, image_category: str = "user") -> dict[str, Any]:
    """Keep a picture of the person at the page."""
    data = await file.read()
    with Image.open(io.BytesIO(data)) as image:
        name = _queue(request).add_image(data, image.width, image.height, image_category)
    _queue(request).note("uploaded", name=name, size=len(data))
    return _queue(request).images[name]


@api.get("/images/i/{name}")
def show_image(request: Request, name: str) -> dict[str, Any]:
    """Describe a picture."""
    if name not in _queue(request).images:
        raise HTTPException(404)
    return _queue(request).images[name]


@api.get("/images/i/{name}/metadata")
def show_metadata(request: Request, name: str) -> None:
    """Return no generation parameters."""
    if name not in _queue(request).images:
        raise HTTPException(404)


@api.get("/images/i/{name}/full")
@api.get("/images/i/{name}/thumbnail")
def show_file(request: Request, name: str) -> Response:
    """Return a picture."""
    if name not in _queue(request).files:
        raise HTTPException(404)
    headers = {"Cache-Control": "max-age=31536000"}
    return Response(_queue(request).files[name], media_type="image/png", headers=headers)


@api.get("/images/intermediates")
def count_intermediates() -> int:
    """Return the number of pictures that are not shown."""
    return 0


@api.get("/images/")
def list_images(request: Request, limit: int = 10, offset: int = 0, board_id: str = "none") -> dict[str, Any]:
    """Return pictures, the newest first."""
    images = list(reversed(_queue(request).images.values())) if board_id == "none" else []
    return {"limit": limit, "offset": offset, "total": len(images), "items": images[offset : offset + limit]}


@api.post("/images/images_by_names")
async def list_images_by_names(request: Request) -> list[dict[str, Any]]:
    """Return pictures by their names."""
    images = _queue(request).images
    return [images[name] for name in (await request.json())["image_names"] if name in images]


@api.get("/gallery/item_names")
def list_gallery(request: Request) -> dict[str, Any]:
    """Return the names of all pictures, the newest first."""
    names = list(reversed(_queue(request).images))
    return {"item_names": names, "starred_count": 0, "total_count": len(names)}


@api.get("/videos/")
def list_videos(limit: int = 10, offset: int = 0) -> dict[str, Any]:
    """Return no videos."""
    return {"limit": limit, "offset": offset, "total": 0, "items": []}


@api.get("/boards/")
@api.get("/style_presets/")
@api.get("/system_prompts/")
@api.post("/model_relationships/batch")
def list_nothing() -> list[Any]:
    """Return no boards, styles, prompts or relationships."""
    return []


@api.get("/workflows/counts_by_category")
def count_workflows() -> dict[str, int]:
    """Return no workflows."""
    return {"user": 0, "default": 0}


# Models and the routes of tests

other = APIRouter()


@other.get("/openapi.json")
def describe_nodes() -> dict[str, Any]:
    """Describe no nodes: only the page's workflow editor would use them."""
    return {"openapi": "3.1.0", "paths": {}, "components": {"schemas": {}}}


@other.get("/api/v2/models/")
def list_models() -> dict[str, Any]:
    """Return the models."""
    return {"models": [_describe_model(number, name) for number, name in enumerate(MODELS)]}


@other.get("/api/v2/models/missing")
def list_missing_models() -> dict[str, Any]:
    """Return no missing models."""
    return {"models": []}


@other.get("/test/log")
def show_log(request: Request) -> list[dict[str, Any]]:
    """Return the server's own log."""
    return _queue(request).log


@other.post("/test/reset")
async def reset(request: Request) -> None:
    """Become as new."""
    request.app.state.refuses_websockets = False
    await _queue(request).reset()


@other.post("/test/refuse_websockets")
def refuse_websockets(request: Request) -> None:
    """Refuse all WebSockets from now on; polls are answered."""
    request.app.state.refuses_websockets = True


@other.post("/test/drop_sockets")
async def drop_sockets(request: Request) -> None:
    """Close the sockets of all pages, as a connection does that breaks."""
    sockets = request.app.state.sockets
    for sid in [sid for sid, _ in sockets.manager.get_participants("/", None)]:
        await sockets.eio.disconnect(sockets.manager.eio_sid_from_sid(sid, "/"))


def _describe_model(number: int, name: str) -> dict[str, Any]:
    missing = ("source_api_response", "cover_image", "submodels", "trigger_phrases", "default_settings", "usage_info")
    return {
        "key": f"model-{number}",
        "hash": f"blake3:{number:064}",
        "path": f"sd-1/main/{name}.safetensors",
        "file_size": 2132625894,
        "name": name,
        "type": "main",
        "base": "sd-1",
        "format": "diffusers",
        "source": name,
        "source_type": "path",
        "description": "",
        "variant": "normal",
        "prediction_type": "epsilon",
        "repo_variant": "fp16",
        "cpu_only": None,
        **dict.fromkeys(missing),
    }
