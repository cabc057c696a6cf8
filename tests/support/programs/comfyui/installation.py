"""One installation of ComfyUI: its queue, its files, its sockets, and the messages that its page receives.

Some words in a prompt decide what happens while it is sampled (``TRAITS``).
"""

import asyncio
import io
import json
import struct
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import ClientError, web
from PIL import Image

from tests.support.programs.comfyui.nodes import NODES, OUTPUT_CLASSES, Picture, signature
from tests.support.programs.rendering import render_image

STEPS_SHOWN = 6
STEP_S = 0.15
PREVIEW_IMAGE, TEXT, PREVIEW_IMAGE_WITH_METADATA = 1, 3, 4
JPEG = 1
MAX_UPLOAD_BYTES = 104857600
# What a word in the prompt does: steps of a long job, or what happens at the third step.
ENDLESS = "endless"
ERRORS = {
    "forbidden": ("RuntimeError", "The sampler has refused."),
    "memory": ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
}
SOCKET_DIES = "socket dies"
EVENTFUL_STEP = 3


class Interrupted(Exception):
    """A job was stopped."""


class ExecutionFailed(Exception):
    """A node raised an exception."""


@dataclass(eq=False, slots=True)
class Client:
    """A page's socket and what the page says that it supports."""

    socket: web.WebSocketResponse
    features: dict[str, Any] = field(default_factory=dict)

    async def send(self, message: str | bytes) -> None:
        """Send a message; one to a page that is gone is dropped."""
        try:
            await (self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))
        except (ClientError, ConnectionError):
            return


@dataclass(frozen=True, slots=True)
class Job:
    """A queued workflow."""

    number: int
    prompt_id: str
    workflow: dict[str, Any]
    extra_data: dict[str, Any]

    @property
    def client_id(self) -> str:
        """The page that queued it."""
        return str(self.extra_data.get("client_id", ""))

    def to_json(self) -> list[Any]:
        """Return the entry of the queue and of the history."""
        outputs = [key for key, node in self.workflow.items() if node["class_type"] in OUTPUT_CLASSES]
        return [self.number, self.prompt_id, self.workflow, self.extra_data, outputs]


class Installation:
    """The state behind one address, empty again after ``reset``."""

    def __init__(self) -> None:
        self._wakeup = asyncio.Event()
        self._numbers = count()
        self.running: Job | None = None
        self._clear()

    async def reset(self) -> None:
        """Become as new: no settings, files, jobs or sockets. The log starts again."""
        self.pending.clear()
        while self.running:
            self._is_interrupted = True
            await asyncio.sleep(STEP_S / 10)
        await self.drop_sockets()
        self._clear()

    def _clear(self) -> None:
        self.settings: dict[str, Any] = {}
        self.userdata: dict[str, bytes] = {}
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.clients: dict[str, Client] = {}
        self.pending: list[Job] = []
        self.history: dict[str, Any] = {}
        self.log: list[dict[str, Any]] = []
        self.start_delay_s = 0.0
        self.accepts_sockets = True
        self._cache: dict[str, Any] = {}
        self._is_interrupted = False
        self._last_node: str | None = None

    def note(self, event: str, **details: Any) -> None:
        """Add a line to the server's own log."""
        self.log.append({"event": event, "at": time.monotonic(), **details})

    def input_names(self) -> list[str]:
        """Return the names of the uploaded pictures."""
        return ["example.png", *(name for kind, _, name in self.files if kind == "input")]

    # The queue

    async def queue(self, workflow: dict[str, Any], extra_data: dict[str, Any]) -> Job:
        """Queue a valid workflow."""
        job = Job(next(self._numbers), str(uuid.uuid4()), workflow, extra_data)
        self.pending.append(job)
        self.note("queued", prompt_id=job.prompt_id, texts=_texts(workflow))
        self._wakeup.set()
        await self.send_status()
        return job

    async def delete(self, prompt_ids: list[str]) -> None:
        """Remove waiting jobs."""
        for job in [job for job in self.pending if job.prompt_id in prompt_ids]:
            self.pending.remove(job)
            self.note("deleted", prompt_id=job.prompt_id)
        await self.send_status()

    def interrupt(self, prompt_id: str | None) -> None:
        """Stop what runs, if it is the named job or none is named."""
        self.note("interrupt", prompt_id=prompt_id)
        if self.running and prompt_id in (None, self.running.prompt_id):
            self._is_interrupted = True

    async def cancel(self, prompt_id: str) -> None:
        """Stop a job or remove it, whatever its state is."""
        self.interrupt(prompt_id)
        await self.delete([prompt_id])

    def summaries(self) -> list[dict[str, Any]]:
        """Return all jobs with their states, the newest first."""
        ended = {"success": "completed", "error": "failed"}
        jobs = [
            {"id": key, "status": ended[entry["status"]["status_str"]], "create_time": 0, "outputs_count": 1}
            for key, entry in reversed(self.history.items())
        ]
        waiting = [{"id": job.prompt_id, "status": "pending", "create_time": 0} for job in self.pending]
        running = [{"id": self.running.prompt_id, "status": "in_progress", "create_time": 0}] if self.running else []
        return [
            {"outputs_count": None, "previewable_outputs_count": None, **job} for job in (*waiting, *running, *jobs)
        ]

    async def execute_forever(self) -> None:
        """Execute the queued jobs one after the other."""
        while True:
            while not self.pending:
                self._wakeup.clear()
                await self._wakeup.wait()
            self.running = self.pending.pop(0)
            await self._execute(self.running)
            self.running = None
            await self.send_status()

    # Messages

    async def send_status(self, client: Client | None = None, **extra: Any) -> None:
        """Send the length of the queue to one page or to all."""
        remaining = len(self.pending) + (self.running is not None)
        data = {"status": {"exec_info": {"queue_remaining": remaining}}, **extra}
        for receiver in [client] if client else list(self.clients.values()):
            await receiver.send(json.dumps({"type": "status", "data": data}))

    async def greet(self, client_id: str, client: Client) -> None:
        """Tell a new socket the state, and the node that runs if the page is the one that waits for it."""
        self.clients[client_id] = client
        await self.send_status(client, sid=client_id)
        if self.running and self.running.client_id == client_id and self._last_node:
            await self._send(self.running, "executing", node=self._last_node)

    async def drop_sockets(self) -> None:
        """Close all sockets, as a connection does that breaks."""
        for client in list(self.clients.values()):
            await client.socket.close(code=1012)

    async def _send(self, job: Job, kind: str, **data: Any) -> None:
        if client := self.clients.get(job.client_id):
            await client.send(json.dumps({"type": kind, "data": {**data, "prompt_id": job.prompt_id}}))

    async def _send_preview(self, job: Job, node_id: str, image: Image.Image) -> None:
        client = self.clients.get(job.client_id)
        if client is None:
            return
        out = io.BytesIO()
        image.save(out, "JPEG")
        if not client.features.get("supports_preview_metadata"):
            await client.send(struct.pack(">II", PREVIEW_IMAGE, JPEG) + out.getvalue())
            return
        metadata = {"prompt_id": job.prompt_id, "image_type": "image/jpeg", **_node_names(node_id)}
        encoded = json.dumps(metadata).encode()
        header = struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(encoded))
        await client.send(header + encoded + out.getvalue())

    # Execution

    async def _execute(self, job: Job) -> None:
        self._is_interrupted = False
        messages: list[Any] = []

        async def tell(kind: str, **data: Any) -> None:
            data = {**data, "timestamp": round(time.time() * 1000)}
            messages.append([kind, {"prompt_id": job.prompt_id, **data}])
            await self._send(job, kind, **data)

        self.note("started", prompt_id=job.prompt_id, texts=_texts(job.workflow))
        signatures = {node_id: signature(job.workflow, node_id) for node_id in job.workflow}
        cached = [node_id for node_id in job.workflow if signatures[node_id] in self._cache]
        outputs: dict[str, Any] = {}
        await tell("execution_start")
        await tell("execution_cached", nodes=cached)
        status, node_id = "success", ""
        try:
            for node_id in _in_order(job.workflow):
                await self._execute_node(job, node_id, signatures, outputs)
        except Interrupted:
            status = "interrupted"
            await tell("execution_interrupted", **_where(job, node_id), executed=list(outputs))
        except ExecutionFailed as failure:
            status = "error"
            kind, message = failure.args
            details = {"exception_type": kind, "exception_message": message, "traceback": [], "current_outputs": []}
            await tell("execution_error", **_where(job, node_id), executed=list(outputs), **details, current_inputs={})
        else:
            await tell("execution_success")
        self._last_node = None
        self.note(status, prompt_id=job.prompt_id)
        self.history[job.prompt_id] = {
            "prompt": job.to_json(),
            "outputs": outputs,
            "status": {
                "status_str": "success" if status == "success" else "error",
                "completed": status == "success",
                "messages": messages,
            },
            "meta": {key: _node_names(key) for key in outputs},
        }
        await self._send(job, "executing", node=None)

    async def _execute_node(self, job: Job, node_id: str, signatures: dict[str, str], outputs: dict[str, Any]) -> None:
        node, key = job.workflow[node_id], signatures[node_id]
        is_output = node["class_type"] in OUTPUT_CLASSES
        if key in self._cache:
            if is_output:
                outputs[node_id] = self._cache[key]
                await self._send(job, "executed", node=node_id, display_node=node_id, output=outputs[node_id])
            return
        self._last_node = node_id
        await self._send(job, "executing", node=node_id, display_node=node_id)
        await self._send_state(job, node_id, 0, 1)
        values = {
            name: self._cache[signatures[value[0]]][value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
            if name in NODES[node["class_type"]].required
        }
        if node["class_type"] == "LoadImage":
            values["image"] = self._load(values["image"])
        result = NODES[node["class_type"]].compute(values)
        if node["class_type"] == "KSampler":
            await self._sample(job, node_id, result[0])
        if is_output:
            kind = "output" if node["class_type"] == "SaveImage" else "temp"
            result = {"images": self._save(result[0], kind, values.get("filename_prefix", "ComfyUI_temp"))}
            outputs[node_id] = result
            await self._send(job, "executed", node=node_id, display_node=node_id, output=result)
        self._cache[key] = result
        await self._send_state(job, node_id, 1, 1)

    async def _sample(self, job: Job, node_id: str, picture: Picture) -> None:
        steps = 100_000 if ENDLESS in picture.text else STEPS_SHOWN
        for step in range(1, steps + 1):
            await asyncio.sleep(STEP_S)
            if self._is_interrupted:
                raise Interrupted
            if step == EVENTFUL_STEP:
                await self._play_trait(picture.text)
            await self._send_state(job, node_id, step, steps)
            await self._send(job, "progress", value=step, max=steps, node=node_id)
            if step == 1 and (client := self.clients.get(job.client_id)):
                name = node_id.encode()
                await client.send(struct.pack(">II", TEXT, len(name)) + name + b"sampling")
            await self._send_preview(job, node_id, render_image(picture.text, 0, (256, 256), step / (steps + 1)))

    async def _play_trait(self, text: str) -> None:
        for word, (kind, message) in ERRORS.items():
            if word in text:
                raise ExecutionFailed(kind, message)
        if SOCKET_DIES in text:
            # The page comes back only after the job has ended, and has missed its last messages.
            self.accepts_sockets = False
            await self.drop_sockets()

    async def _send_state(self, job: Job, node_id: str, value: float, maximum: float) -> None:
        state = "finished" if value == maximum else "running"
        node = {"value": value, "max": maximum, "state": state, "prompt_id": job.prompt_id, **_node_names(node_id)}
        await self._send(job, "progress_state", nodes={node_id: node})

    def _load(self, name: str) -> Picture:
        subfolder, _, filename = name.rpartition("/")
        data = self.files.get(("input", subfolder, filename), b"")
        with Image.open(io.BytesIO(data)) as image:
            return Picture(signature_of(image), image.width, image.height)

    def _save(self, picture: Picture, kind: str, prefix: str) -> list[dict[str, str]]:
        subfolder, _, stem = prefix.rpartition("/")
        saved = []
        for number in range(picture.count):
            out = io.BytesIO()
            render_image(picture.text, number, (picture.width, picture.height)).save(out, "PNG")
            taken = sum(1 for place in self.files if place[0] == kind and place[2].startswith(stem))
            name = f"{stem}_{taken + 1:05}_.png"
            self.files[kind, subfolder, name] = out.getvalue()
            saved.append({"filename": name, "subfolder": subfolder, "type": kind})
        return saved


def signature_of(image: Image.Image) -> str:
    """Return a text for the content of an uploaded picture: its mean colour, whatever its size."""
    return "picture " + "-".join(map(str, image.convert("RGB").resize((1, 1)).getpixel((0, 0))))  # type: ignore[arg-type]


def _texts(workflow: dict[str, Any]) -> list[str]:
    return [node["inputs"]["text"] for node in workflow.values() if node["class_type"] == "CLIPTextEncode"]


def _node_names(node_id: str) -> dict[str, Any]:
    return {"node_id": node_id, "display_node_id": node_id, "parent_node_id": None, "real_node_id": node_id}


def _where(job: Job, node_id: str) -> dict[str, str]:
    return {"node_id": node_id, "node_type": job.workflow[node_id]["class_type"]}


def _in_order(workflow: dict[str, Any]) -> Iterator[str]:
    """Yield the nodes so that each comes after those that it depends on; nodes that no output needs are left out."""
    done: set[str] = set()

    def visit(node_id: str) -> Iterator[str]:
        if node_id in done:
            return
        done.add(node_id)
        for value in workflow[node_id]["inputs"].values():
            if isinstance(value, list):
                yield from visit(value[0])
        yield node_id

    for node_id, node in workflow.items():
        if node["class_type"] in OUTPUT_CLASSES:
            yield from visit(node_id)
