"""The queue of an InvokeAI server: what it runs, and the events that it sends to every page.

Events go to all pages, also those about jobs of other pages. Some words in a prompt decide what happens while it is
painted: ``endless``, and the keys of ``ERRORS``.
"""

import asyncio
import base64
import io
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count, product
from typing import Any

from tests.support.programs.rendering import render_image

STEPS_SHOWN = 6
STEP_S = 0.15
ENDLESS = "endless"
ERRORS = {
    "forbidden": ("RuntimeError", "The sampler has refused."),
    "memory": ("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 GiB."),
}
EVENTFUL_STEP = 3
ENDED = ("completed", "failed", "canceled")
OUTPUT_TYPE = "l2i"

Emit = Callable[[str, dict[str, Any]], Awaitable[None]]


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


@dataclass(eq=False, slots=True)
class Item:
    """One queued run of a graph, with the values of its batch put in."""

    item_id: int
    batch_id: str
    origin: str | None
    destination: str | None
    nodes: dict[str, dict[str, Any]]
    edges: list[dict[str, Any]]
    field_values: list[dict[str, Any]]
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "pending"
    sequence: int = 0
    error: tuple[str, str] | None = None
    created_at: str = field(default_factory=_now)
    started_at: str | None = None
    completed_at: str | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def nodes_of_type(self, kind: str) -> list[dict[str, Any]]:
        """Return the nodes of a type."""
        return [node for node in self.nodes.values() if node["type"] == kind]

    def value_of(self, prefix: str) -> Any:
        """Return the value of the node whose id begins so."""
        return next((node.get("value", "") for key, node in self.nodes.items() if key.startswith(prefix)), "")

    def describe(self) -> str:
        """Return all that the picture depends on."""
        (denoise,) = self.nodes_of_type("denoise_latents")
        (loader,) = self.nodes_of_type("main_model_loader")
        parts = [self.value_of("positive_prompt"), self.value_of("negative_prompt"), self.value_of("seed")]
        parts += [denoise["steps"], denoise["cfg_scale"], denoise["scheduler"], loader["model"]["name"]]
        parts += [node["image"]["image_name"] for node in self.nodes_of_type("i2l") if "image" in node]
        return "|".join(map(str, parts))

    def to_json(self) -> dict[str, Any]:
        """Return the queue item of the API."""
        graph = {"id": self.session_id, "nodes": self.nodes, "edges": self.edges}
        sources = {key: key for key in self.nodes}
        session = {
            "id": self.session_id,
            "graph": graph,
            "execution_graph": graph,
            "executed": list(self.results),
            "executed_history": list(self.results),
            "results": self.results,
            "errors": {},
            "prepared_source_mapping": sources,
            "source_prepared_mapping": {key: [key] for key in sources},
        }
        return {
            **self.summary(),
            "status_sequence": self.sequence,
            "priority": 0,
            "session_id": self.session_id,
            "error_type": self.error and self.error[0],
            "error_message": self.error and self.error[1],
            "error_traceback": None,
            "updated_at": _now(),
            "queue_id": "default",
            "retried_from_item_id": None,
            "session": session,
            "workflow": None,
        }

    def summary(self) -> dict[str, Any]:
        """Return the entry of the queue's list."""
        return {
            "item_id": self.item_id,
            "status": self.status,
            "batch_id": self.batch_id,
            "origin": self.origin,
            "destination": self.destination,
            "created_at": self.created_at,
            "started_at": self.started_at,
            "completed_at": self.completed_at,
            "device": None,
            "user_id": "system",
            "user_display_name": None,
            "user_email": None,
            "field_values": self.field_values,
            "parent_item_id": None,
        }


class Queue:
    """The state of the server, empty again after ``reset``."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._wakeup, self._idle = asyncio.Event(), asyncio.Event()
        self._clear()

    async def reset(self) -> None:
        """Become as new: no jobs, pictures or remembered fields. The log starts again."""
        for item in self.items.values():
            await self.cancel(item)
        await self._idle.wait()
        self._clear()

    def _clear(self) -> None:
        self._ids = count(1)
        self.items: dict[int, Item] = {}
        self.images: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.client_state: dict[str, str] = {}
        self.log: list[dict[str, Any]] = []

    def note(self, event: str, **details: Any) -> None:
        """Add a line to the server's own log."""
        self.log.append({"event": event, "at": time.monotonic(), **details})

    @property
    def current(self) -> Item | None:
        """The item that runs."""
        return next((item for item in self.items.values() if item.status == "in_progress"), None)

    def counts(self, chosen: Callable[[Item], bool] = lambda _: True) -> dict[str, int]:
        """Return the number of items by status."""
        items = [item for item in self.items.values() if chosen(item)]
        statuses = ("pending", "in_progress", "waiting", *ENDED)
        return {status: sum(item.status == status for item in items) for status in statuses} | {"total": len(items)}

    def status(self) -> dict[str, Any]:
        """Return the status of the queue."""
        item = self.current
        return {
            "queue_id": "default",
            "item_id": item.item_id if item else None,
            "batch_id": item.batch_id if item else None,
            "session_id": item.session_id if item else None,
            **self.counts(),
            "user_pending": None,
            "user_in_progress": None,
        }

    def batch_status(self, batch_id: str) -> dict[str, Any]:
        """Return the status of a batch."""
        item = next((item for item in self.items.values() if item.batch_id == batch_id), None)
        places = {"origin": item and item.origin, "destination": item and item.destination}
        counts = self.counts(lambda item: item.batch_id == batch_id)
        return {"queue_id": "default", "batch_id": batch_id, **places, **counts}

    async def enqueue(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Queue one item for each combination of the batch's values and each run."""
        batch_id = batch.get("batch_id") or str(uuid.uuid4())
        items = []
        for _ in range(batch.get("runs", 1)):
            for values in _combinations(batch.get("data") or []):
                nodes = {key: dict(node) for key, node in batch["graph"]["nodes"].items()}
                for value in values:
                    nodes[value["node_path"]][value["field_name"]] = value["value"]
                places = (batch.get("origin"), batch.get("destination"))
                items.append(Item(next(self._ids), batch_id, *places, nodes, batch["graph"]["edges"], values))
        for item in items:
            self.items[item.item_id] = item
            self.note("queued", item_id=item.item_id, text=item.describe())
        result = {
            "queue_id": "default",
            "enqueued": len(items),
            "requested": len(items),
            "batch": {**batch, "batch_id": batch_id},
            "priority": 0,
            "item_ids": [item.item_id for item in items],
        }
        counts = {"batch_id": batch_id, "enqueued": len(items), "requested": len(items), "priority": 0}
        await self._emit("batch_enqueued", {"queue_id": "default", **counts, "origin": None, "user_id": "system"})
        self._idle.clear()
        self._wakeup.set()
        return result

    async def cancel(self, item: Item) -> None:
        """Cancel an item, whether it runs or waits; one that has ended stays as it is."""
        if item.status not in ENDED:
            self.note("cancel", item_id=item.item_id)
            await self._set_status(item, "canceled")

    async def run_forever(self) -> None:
        """Run the items one after the other."""
        while True:
            waiting = [item for item in self.items.values() if item.status == "pending"]
            if not waiting:
                self._wakeup.clear()
                self._idle.set()
                await self._wakeup.wait()
                continue
            self._idle.clear()
            await self._run(waiting[0])

    async def _run(self, item: Item) -> None:
        item.started_at = _now()
        self.note("started", item_id=item.item_id, text=item.describe())
        await self._set_status(item, "in_progress")
        for node in _in_order(item):
            await self._emit("invocation_started", self._about(item, node))
            if node["type"] == "denoise_latents" and not await self._denoise(item, node):
                self.note("failed" if item.error else "stopped", item_id=item.item_id)
                return
            result = self._result(item, node)
            item.results[node["id"]] = result
            await self._emit("invocation_complete", {**self._about(item, node), "result": result})
        await self._set_status(item, "completed")
        self.note("completed", item_id=item.item_id)

    async def _denoise(self, item: Item, node: dict[str, Any]) -> bool:
        """Send progress; returns whether the node has finished."""
        text = item.describe()
        steps = 100_000 if ENDLESS in text else STEPS_SHOWN
        for step in range(1, steps + 1):
            await asyncio.sleep(STEP_S)
            if item.status == "canceled":
                return False
            error = next((value for word, value in ERRORS.items() if word in text), None)
            if error and step == EVENTFUL_STEP:
                item.error = error
                details = {"error_type": error[0], "error_message": error[1], "error_traceback": "Traceback"}
                await self._emit("invocation_error", {**self._about(item, node), **details})
                await self._set_status(item, "failed")
                return False
            await self._emit("invocation_progress", self._progress(item, node, step, steps))
        return True

    def _progress(self, item: Item, node: dict[str, Any], step: int, steps: int) -> dict[str, Any]:
        out = io.BytesIO()
        render_image(item.describe(), 0, (64, 64), step / (steps + 1)).save(out, "JPEG")
        image = {
            "width": 512,
            "height": 512,
            "dataURL": f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}",
        }
        percentage = round(step / steps, 4)
        return {
            **self._about(item, node),
            "message": "Denoising",
            "percentage": percentage,
            "image": image,
            "device": None,
        }

    def _result(self, item: Item, node: dict[str, Any]) -> dict[str, Any]:
        if node["type"] != OUTPUT_TYPE:
            return {"type": "any_output"}
        noise = next(iter(item.nodes_of_type("noise")), {"width": 512, "height": 512})
        width, height = noise["width"], noise["height"]
        out = io.BytesIO()
        render_image(item.describe(), 0, (width, height)).save(out, "PNG")
        places = {"is_intermediate": node["is_intermediate"], "session_id": item.session_id, "node_id": node["id"]}
        name = self.add_image(out.getvalue(), width, height, "general", **places)
        return {"type": "image_output", "image": {"image_name": name}, "width": width, "height": height}

    def add_image(self, data: bytes, width: int, height: int, category: str, **places: Any) -> str:
        """Keep a picture and return its name."""
        name = f"{uuid.uuid4()}.png"
        self.files[name] = data
        self.images[name] = {
            "image_name": name,
            "image_url": f"api/v1/images/i/{name}/full",
            "thumbnail_url": f"api/v1/images/i/{name}/thumbnail",
            "image_origin": "internal" if category == "general" else "external",
            "image_category": category,
            "width": width,
            "height": height,
            "created_at": _now(),
            "updated_at": _now(),
            "is_intermediate": False,
            "starred": False,
            "has_workflow": False,
            "image_subfolder": "",
            **places,
        }
        return name

    async def _set_status(self, item: Item, status: str) -> None:
        item.status = status
        item.sequence += 1
        if status in ENDED:
            item.completed_at = _now()
        error = dict(zip(("error_type", "error_message"), item.error or (None, None), strict=True))
        times = {"created_at": item.created_at, "started_at": item.started_at, "completed_at": item.completed_at}
        await self._emit(
            "queue_item_status_changed",
            {
                **self._places(item),
                "status": status,
                "status_sequence": item.sequence,
                **error,
                "error_traceback": None,
                **times,
                "updated_at": _now(),
                "batch_status": self.batch_status(item.batch_id),
                "queue_status": self.status(),
            },
        )

    def _places(self, item: Item) -> dict[str, Any]:
        return {
            "timestamp": round(time.time()),
            "queue_id": "default",
            "item_id": item.item_id,
            "batch_id": item.batch_id,
            "origin": item.origin,
            "destination": item.destination,
            "user_id": "system",
            "session_id": item.session_id,
        }

    def _about(self, item: Item, node: dict[str, Any]) -> dict[str, Any]:
        return {**self._places(item), "invocation": node, "invocation_source_id": node["id"]}


def _combinations(data: list[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Yield the values of each item: lists beside each other advance together, others are multiplied."""
    groups = []
    for group in data:
        columns = [
            [
                {"node_path": datum["node_path"], "field_name": datum["field_name"], "value": value}
                for value in datum["items"]
            ]
            for datum in group
        ]
        groups.append([list(row) for row in zip(*columns, strict=True)])
    for rows in product(*groups):
        yield [value for row in rows for value in row]


def _in_order(item: Item) -> Iterator[dict[str, Any]]:
    """Yield the nodes so that each comes after those that it gets values from."""
    done: set[str] = set()

    def visit(node_id: str) -> Iterator[dict[str, Any]]:
        if node_id in done:
            return
        done.add(node_id)
        for edge in item.edges:
            if edge["destination"]["node_id"] == node_id:
                yield from visit(edge["source"]["node_id"])
        yield item.nodes[node_id]

    for node_id in item.nodes:
        yield from visit(node_id)
