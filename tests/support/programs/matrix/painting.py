"""The pictures of the pages, and the log of what the program did, which tests read at ``/log``."""

import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from tests.support.programs.rendering import STEPS, render_image

STEP_S = 0.3
SLOW_STEPS = 100
REFUSED = "forbidden"
REFUSAL = "That prompt is not allowed here."
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."
FOLDER = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())) / "pictures"

log: list[dict[str, Any]] = []
_lock = threading.Lock()


def record(page: str, event: str, prompt: str, **details: Any) -> None:
    """Add a line to the log."""
    with _lock:
        log.append({"page": page, "event": event, "prompt": prompt, **details})


def join_values(*values: Any) -> str:
    """Return one text for the values of all inputs."""
    return "|".join(f"{value:g}" if isinstance(value, int | float) else str(value or "") for value in values)


def write_picture(text: str, number: int = 0, name: str = "picture", size: tuple[int, int] = (256, 192)) -> str:
    """Write a finished picture to a file of its own and return the file's path."""
    folder = FOLDER / hashlib.sha256(f"{text}|{time.time_ns()}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True)
    path = folder / f"{name}-{number}.png"
    render_image(text, number, size).save(path)
    return str(path)


def finish(page: str, prompt: str, text: str, count: int = 1) -> list[str]:
    """Return the paths of the finished pictures, and write the hashes of their bytes into the log."""
    paths = [write_picture(text, number) for number in range(count)]
    record(page, "finished", prompt, hashes=[hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths])
    return paths


def paint(page: str, prompt: str, text: str) -> Iterator[Image.Image]:
    """Yield the intermediate pictures of a prompt, with the failures that the words of the prompt ask for."""
    record(page, "started", prompt)
    if REFUSED in prompt:
        raise gr.Error(REFUSAL)
    steps = SLOW_STEPS if "slow" in prompt else STEPS
    done = False
    try:
        for step in range(1, steps):
            time.sleep(STEP_S)
            yield render_image(text, brightness=step / steps)
            if step == 2 and "crash" in prompt:
                raise RuntimeError("The sampler has no more noise.")
            if step == 2 and "exhausting" in prompt:
                raise gr.Error(OUT_OF_MEMORY)
        time.sleep(STEP_S)
        done = True
    finally:
        if not done:
            record(page, "stopped", prompt)
