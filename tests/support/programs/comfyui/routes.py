"""The HTTP routes and the socket of ComfyUI, each also below ``/api``, and a few of the tests' own below ``/test``."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.support.programs.comfyui.installation import MAX_UPLOAD_BYTES, Client, Installation
from tests.support.programs.comfyui.nodes import CHECKPOINTS, LORAS, describe_nodes, validate

VERSION = "0.3.64"
MODELS = {"checkpoints": CHECKPOINTS, "loras": LORAS, "vae": (), "text_encoders": (), "diffusion_models": ()}
INSTALLATION = web.AppKey("installation", Installation)
FRONTEND = web.AppKey("frontend", Path)
TEMPLATES = [
    {
        "moduleName": "default",
        "title": "Basics",
        "type": "image",
        "templates": [
            {"name": "default", "mediaType": "image", "mediaSubtype": "webp", "description": "Text to image"}
        ],
    }
]
routes = web.RouteTableDef()


def create_app(frontend: Path) -> web.Application:
    """Return a server for the page in a folder."""
    app = web.Application(client_max_size=MAX_UPLOAD_BYTES)
    app[INSTALLATION] = Installation()
    app[FRONTEND] = frontend
    app.add_routes(routes)
    app.add_routes(
        [
            web.route(route.method, f"/api{route.path}", route.handler)
            for route in routes
            if isinstance(route, web.RouteDef)
        ]
    )
    app.router.add_static("/", frontend)
    app.cleanup_ctx.append(_executor)
    return app


async def _executor(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[INSTALLATION].execute_forever())
    yield
    task.cancel()


@routes.get("/")
async def show_page(request: web.Request) -> web.FileResponse:
    """Return the page."""
    return web.FileResponse(request.app[FRONTEND] / "index.html", headers={"Cache-Control": "no-cache"})


@routes.get("/ws")
async def listen(request: web.Request) -> web.WebSocketResponse:
    """Connect a page; the first message from a newer one has its features."""
    installation = request.app[INSTALLATION]
    if not installation.accepts_sockets:
        raise web.HTTPServiceUnavailable
    socket = web.WebSocketResponse(max_msg_size=0)
    await socket.prepare(request)
    client_id, client = request.query.get("clientId") or "", Client(socket)
    await installation.greet(client_id, client)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            content = json.loads(message.data)
            if content.get("type") == "feature_flags":
                client.features = content["data"]
                features = {"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD_BYTES}
                await client.send(json.dumps({"type": "feature_flags", "data": features}))
    if installation.clients.get(client_id) is client:
        del installation.clients[client_id]
    return socket


@routes.post("/prompt")
async def queue_workflow(request: web.Request) -> web.Response:
    """Queue a workflow in the API format, or say which nodes are wrong."""
    body, installation = await request.json(), request.app[INSTALLATION]
    if "prompt" not in body:
        error = {"type": "no_prompt", "message": "No prompt provided", "details": "", "extra_info": {}}
        return web.json_response({"error": error, "node_errors": {}}, status=400)
    error, node_errors = validate(body["prompt"], installation.input_names())
    if error:
        installation.note("refused", errors=node_errors)
        return web.json_response({"error": error, "node_errors": node_errors}, status=400)
    extra_data = {**body.get("extra_data", {}), **({"client_id": body["client_id"]} if "client_id" in body else {})}
    job = await installation.queue(body["prompt"], extra_data)
    return web.json_response({"prompt_id": job.prompt_id, "number": job.number, "node_errors": {}})


@routes.get("/prompt")
async def show_queue_length(request: web.Request) -> web.Response:
    """Return the length of the queue."""
    installation = request.app[INSTALLATION]
    remaining = len(installation.pending) + (installation.running is not None)
    return web.json_response({"exec_info": {"queue_remaining": remaining}})


@routes.get("/queue")
async def show_queue(request: web.Request) -> web.Response:
    """Return what runs and what waits."""
    installation = request.app[INSTALLATION]
    running = [installation.running.to_json()] if installation.running else []
    return web.json_response(
        {"queue_running": running, "queue_pending": [job.to_json() for job in installation.pending]}
    )


@routes.post("/queue")
async def change_queue(request: web.Request) -> web.Response:
    """Remove jobs that wait."""
    body, installation = await request.json(), request.app[INSTALLATION]
    every_id = [job.prompt_id for job in installation.pending]
    await installation.delete(every_id if body.get("clear") else body.get("delete", []))
    return web.Response()


@routes.post("/interrupt")
async def interrupt(request: web.Request) -> web.Response:
    """Stop what runs; with a ``prompt_id``, only if it is that job."""
    text = await request.text()
    body = json.loads(text) if text else {}
    request.app[INSTALLATION].interrupt(body.get("prompt_id") if isinstance(body, dict) else None)
    return web.Response()


@routes.get("/history")
async def show_history(request: web.Request) -> web.Response:
    """Return what has ended."""
    return web.json_response(request.app[INSTALLATION].history)


@routes.get("/history/{prompt_id}")
async def show_one_of_history(request: web.Request) -> web.Response:
    """Return how one job has ended; empty while it has not."""
    prompt_id = request.match_info["prompt_id"]
    history = request.app[INSTALLATION].history
    return web.json_response({prompt_id: history[prompt_id]} if prompt_id in history else {})


@routes.get("/view")
async def view(request: web.Request) -> web.Response:
    """Return a file."""
    query = request.query
    place = (query.get("type", "output"), query.get("subfolder", ""), query.get("filename", ""))
    data = request.app[INSTALLATION].files.get(place)
    return web.Response(body=data, content_type="image/png") if data else web.Response(status=404)


@routes.post("/upload/image")
async def upload_image(request: web.Request) -> web.Response:
    """Keep a picture for LoadImage; another one of the same name gets a number."""
    form, files = await request.post(), request.app[INSTALLATION].files
    image = form.get("image")
    if not isinstance(image, web.FileField):
        return web.Response(status=400)
    kind, subfolder = str(form.get("type", "input")), str(form.get("subfolder", ""))
    data, name = image.file.read(), image.filename
    stem, dot, extension = name.rpartition(".")
    number = 1
    while form.get("overwrite") not in ("true", "1") and files.get((kind, subfolder, name), data) != data:
        name = f"{stem} ({number}){dot}{extension}"
        number += 1
    files[kind, subfolder, name] = data
    request.app[INSTALLATION].note("uploaded", name=name, size=len(data))
    return web.json_response({"name": name, "subfolder": subfolder, "type": kind})


@routes.get("/object_info")
async def show_object_info(request: web.Request) -> web.Response:
    """Describe all nodes; a large installation takes its time."""
    installation = request.app[INSTALLATION]
    await asyncio.sleep(installation.start_delay_s)
    return web.json_response(describe_nodes(installation.input_names()))


@routes.get("/object_info/{name}")
async def show_one_of_object_info(request: web.Request) -> web.Response:
    """Describe one node."""
    described = describe_nodes(request.app[INSTALLATION].input_names())
    name = request.match_info["name"]
    return web.json_response({name: described[name]} if name in described else {})


@routes.get("/system_stats")
async def show_system_stats(_request: web.Request) -> web.Response:
    """Describe the machine."""
    memory = {"vram_total": 8_000_000_000, "vram_free": 6_000_000_000}
    device = {"name": "cuda:0", "type": "cuda", "index": 0, **memory, "torch_vram_total": 0, "torch_vram_free": 0}
    system = {
        "os": "posix",
        "ram_total": 16_000_000_000,
        "ram_free": 8_000_000_000,
        "comfyui_version": VERSION,
        "required_frontend_version": "1.27.10",
        "python_version": "3.12.3",
        "pytorch_version": "2.8.0",
        "embedded_python": False,
        "argv": ["main.py"],
    }
    return web.json_response({"system": system, "devices": [device]})


@routes.get("/extensions")
async def list_extensions(request: web.Request) -> web.Response:
    """Return the scripts that the page loads besides its own."""
    root = request.app[FRONTEND]
    return web.json_response([f"/{path.relative_to(root)}" for path in sorted((root / "extensions").rglob("*.js"))])


@routes.get("/experiment/models")
async def list_model_folders(_request: web.Request) -> web.Response:
    """Return the folders of models; a page that gets none does not start."""
    return web.json_response([{"name": name, "folders": [f"/models/{name}"]} for name in MODELS])


@routes.get("/experiment/models/{folder}")
async def list_model_files(request: web.Request) -> web.Response:
    """Return the files of one folder."""
    names = MODELS.get(request.match_info["folder"], ())
    files = [{"name": name, "pathIndex": 0, "modified": 0, "created": 0, "size": 4} for name in names]
    return web.json_response(files)


@routes.get("/models")
async def list_model_kinds(_request: web.Request) -> web.Response:
    """Return the kinds of models."""
    return web.json_response(list(MODELS))


@routes.get("/models/{folder}")
async def list_models(request: web.Request) -> web.Response:
    """Return the names of one kind."""
    return web.json_response(list(MODELS.get(request.match_info["folder"], ())))


@routes.get("/users")
async def show_users(_request: web.Request) -> web.Response:
    """Say that there is one user only."""
    return web.json_response({"storage": "server", "migrated": True})


@routes.get("/settings")
async def show_settings(request: web.Request) -> web.Response:
    """Return the page's settings: none before the first visit."""
    return web.json_response(request.app[INSTALLATION].settings)


@routes.post("/settings")
async def store_settings(request: web.Request) -> web.Response:
    """Store several settings."""
    request.app[INSTALLATION].settings |= await request.json()
    return web.Response()


@routes.post("/settings/{name}")
async def store_setting(request: web.Request) -> web.Response:
    """Store one setting."""
    request.app[INSTALLATION].settings[request.match_info["name"]] = await request.json()
    return web.Response()


@routes.get("/userdata")
async def list_userdata(request: web.Request) -> web.Response:
    """Return the files of the page's user."""
    folder = f"{request.query.get('dir', '')}/"
    names = [name.removeprefix(folder) for name in request.app[INSTALLATION].userdata if name.startswith(folder)]
    if request.query.get("full_info") == "true":
        return web.json_response([{"path": name, "size": 1, "modified": 0, "created": 0} for name in names])
    return web.json_response(names)


@routes.get("/userdata/{name:.+}")
async def read_userdata(request: web.Request) -> web.Response:
    """Return a file of the page's user."""
    data = request.app[INSTALLATION].userdata.get(request.match_info["name"])
    return web.Response(status=404) if data is None else web.Response(body=data)


@routes.post("/userdata/{name:.+}")
async def write_userdata(request: web.Request) -> web.Response:
    """Store a file of the page's user."""
    name = request.match_info["name"]
    request.app[INSTALLATION].userdata[name] = await request.read()
    return web.json_response({"path": name, "size": 1, "modified": 0, "created": 0})


@routes.get("/templates/index.json")
async def list_templates(_request: web.Request) -> web.Response:
    """Return the templates that the page offers on the first visit."""
    return web.json_response(TEMPLATES)


async def _nothing(_request: web.Request) -> web.Response:
    return web.json_response({})


async def _empty_list(_request: web.Request) -> web.Response:
    return web.json_response([])


for path in ("/i18n", "/workflow_templates", "/global_subgraphs", "/node_replacements"):
    routes.get(path)(_nothing)
for path in ("/embeddings", "/internal/folder_paths", "/templates/index_logo.json"):
    routes.get(path)(_empty_list)


@routes.get("/jobs")
async def list_jobs(request: web.Request) -> web.Response:
    """Return jobs by state, in the form that newer pages ask for instead of the queue and the history."""
    states = request.query.get("status", "").split(",")
    jobs = [job for job in request.app[INSTALLATION].summaries() if job["status"] in states]
    offset, limit = int(request.query.get("offset", 0)), int(request.query.get("limit", 200))
    shown = jobs[offset : offset + limit]
    more = offset + limit < len(jobs)
    pagination = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
    return web.json_response({"jobs": shown, "pagination": pagination})


@routes.post("/jobs/cancel")
async def cancel_jobs(request: web.Request) -> web.Response:
    """Stop or remove jobs, whether they run or wait."""
    installation = request.app[INSTALLATION]
    for prompt_id in (await request.json())["job_ids"]:
        await installation.cancel(prompt_id)
    return web.json_response({})


@routes.post("/jobs/{prompt_id}/cancel")
async def cancel_job(request: web.Request) -> web.Response:
    """Stop or remove one job."""
    await request.app[INSTALLATION].cancel(request.match_info["prompt_id"])
    return web.json_response({})


@routes.get("/internal/logs/raw")
async def show_logs(_request: web.Request) -> web.Response:
    """Return the program's console, which newer pages show."""
    return web.json_response({"entries": [], "size": {"cols": 80, "rows": 24}})


@routes.patch("/internal/logs/subscribe")
async def subscribe_to_logs(_request: web.Request) -> web.Response:
    """Take note of a page that shows the console."""
    return web.Response()


@routes.get("/features")
async def show_features(_request: web.Request) -> web.Response:
    """Return what the server supports."""
    return web.json_response({"supports_preview_metadata": True, "max_upload_size": MAX_UPLOAD_BYTES})


@routes.get("/test/log")
async def show_log(request: web.Request) -> web.Response:
    """Return the server's own log."""
    return web.json_response(request.app[INSTALLATION].log)


@routes.post("/test/{action}")
async def act(request: web.Request) -> web.Response:
    """Bring about what a test needs: ``reset``, ``drop_sockets``, ``accept_sockets``, or ``start_delay``."""
    installation, action = request.app[INSTALLATION], request.match_info["action"]
    body: dict[str, Any] = await request.json() if request.can_read_body else {}
    if action == "reset":
        await installation.reset()
    elif action == "drop_sockets":
        await installation.drop_sockets()
    elif action == "accept_sockets":
        installation.accepts_sockets = True
    elif action == "start_delay":
        installation.start_delay_s = body["seconds"]
    else:
        raise web.HTTPNotFound
    return web.Response()
