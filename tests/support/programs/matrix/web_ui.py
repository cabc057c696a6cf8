"""Stand-ins for AUTOMATIC1111's web UI (Gradio 3.41.2) and for Forge (Gradio 4.40.0), with the ids of their pages.

They have the traits that make the real ones hard to drive. One engine works for all pages, on one prompt after another,
and paints on when a page has left. "Interrupt" stops whatever the engine works on and delivers the picture as it is.
The checkpoint belongs to the engine, so that it outlives the page that chose it. With several pictures, the gallery
begins with a contact sheet. An exception is a line below an empty gallery.
"""

import base64
import hashlib
import html
import io
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from fastapi import Body
from PIL import Image

from tests.support.programs.matrix.painting import (
    OUT_OF_MEMORY,
    SLOW_STEPS,
    STEP_S,
    join_values,
    record,
    write_picture,
)
from tests.support.programs.rendering import render_image

SAMPLERS = ["DPM++ 2M", "DPM++ SDE", "Euler a", "Euler", "LMS", "Heun"]
SCHEDULERS = ["Automatic", "Uniform", "Karras"]
CHECKPOINTS = ["dreamshaper_8.safetensors [879db523c3]", "sd_xl_base_1.0.safetensors [31e35c80fc]"]
LOADING_S = 0.6
STEPS = 6
SCRIPT = Path(__file__).with_suffix(".js").read_text()
STYLE = """
#txt2img_interrupt, #txt2img_skip, #txt2img_interrupting { display: none; position: absolute; height: 100%; }
#txt2img_interrupt, #txt2img_interrupting { left: 0; width: 50%; z-index: 2; }
#txt2img_skip { right: 0; width: 50%; z-index: 2; }
#txt2img_generate_box { position: relative; }
.progressDiv { height: 20px; }
.livePreview { position: absolute; z-index: 300; width: 100%; height: 100%; }
"""
IS_VERSION_3 = gr.__version__.startswith("3.")


class Engine:
    """The engine of one program: its queue, what it works on, and its checkpoint."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.checkpoint = CHECKPOINTS[0]
        self._turn = threading.Lock()
        self._pending: list[str] = []
        self._finished: set[str] = set()
        self._task = ""
        self._is_interrupted = False
        self._fraction = 0.0
        self._preview: Image.Image | None = None
        self._preview_number = 0

    def load(self, checkpoint: str) -> None:
        """Load a checkpoint, after the prompts that came before."""
        with self._turn:
            time.sleep(LOADING_S)
            self.checkpoint = checkpoint

    def interrupt(self) -> None:
        """Stop what the engine works on, for any page."""
        self._is_interrupted = True

    def generate(self, task: str, prompt: str, *settings: Any) -> tuple[list[str] | None, str, str]:
        """Return the gallery, the description of the pictures, and the line of the log."""
        self._pending.append(task)
        try:
            with self._turn:
                self._task, self._is_interrupted = task, False
                return self._paint(prompt, *settings), html.escape(prompt), "<p>Time taken: 1.2 sec.</p>"
        except RuntimeError as error:
            return None, "", f"<div class='error'>{html.escape(f'{type(error).__name__}: {error}')}</div>"
        finally:
            self._pending.remove(task)
            self._finished.add(task)
            self._task, self._preview = "", None

    def _paint(self, prompt: str, *settings: Any) -> list[str]:
        negative, steps, sampler, width, height, count, cfg_scale, seed = settings
        record(self.program, "started", prompt)
        seed = random.randrange(2**32) if seed == -1 else seed
        text = join_values(prompt, negative, steps, sampler, cfg_scale, seed, self.checkpoint)
        size = (int(width), int(height))
        paths: list[str] = []
        for number in range(int(count)):
            if not self._sample(prompt, text, number / count, 1 / count):
                record(self.program, "stopped", prompt)
                return [*paths, write_picture(f"{text}|unfinished", number, "00000", size)]
            paths.append(write_picture(text, number, "00000", size))
        hashes = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]
        record(self.program, "finished", prompt, hashes=hashes)
        return [write_picture(f"{text}|contact sheet", 0, "grid", size), *paths] if count > 1 else paths

    def _sample(self, prompt: str, text: str, done: float, share: float) -> bool:
        """Take the steps of one picture; returns whether it was finished."""
        steps = SLOW_STEPS if "slow" in prompt else STEPS
        for step in range(1, steps + 1):
            time.sleep(STEP_S)
            if self._is_interrupted:
                return False
            if step == 2 and "crash" in prompt:
                raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (77x2048 and 768x320)")
            if step == 2 and "exhausting" in prompt:
                raise RuntimeError(OUT_OF_MEMORY)
            self._fraction = done + share * step / steps
            self._preview = render_image(text, brightness=step / (steps + 1))
            self._preview_number += 1
        return True

    def read_progress(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of the page."""
        task = str(request.get("id_task"))
        answer = {"active": task == self._task, "queued": task in self._pending, "completed": task in self._finished}
        if not answer["active"]:
            waiting = [other for other in self._pending if other != self._task]
            place = waiting.index(task) + 1 if task in waiting else 1
            info = f"In queue: {place}/{len(waiting) or 1}" if answer["queued"] else "Waiting..."
            return answer | {"id_live_preview": -1, "textinfo": info}
        last = request.get("id_live_preview", -1)
        preview = self._preview if request.get("live_preview", True) and last != self._preview_number else None
        number = self._preview_number if preview else last
        return answer | {
            "progress": self._fraction,
            "live_preview": _data_url(preview) if preview else None,
            "id_live_preview": number,
            "textinfo": None,
        }


def automatic1111_page(add_route: Callable[..., None]) -> gr.Blocks:
    """The page of AUTOMATIC1111: the checkpoint is one of the settings above the tabs."""
    engine = Engine("automatic1111")
    with gr.Blocks(css=STYLE, title="Stable Diffusion") as page:
        with gr.Row(elem_id="quicksettings"):
            checkpoint = _checkpoint(engine, "Stable Diffusion checkpoint", elem_id="setting_sd_model_checkpoint")
        _build_tabs(page, engine, checkpoint, add_route)
    return page


def forge_page(add_route: Callable[..., None]) -> gr.Blocks:
    """The page of Forge: the checkpoint has a class, no id, and other lists beside it."""
    engine = Engine("forge")
    with gr.Blocks(css=STYLE, title="Stable Diffusion") as page:
        with gr.Row(elem_id="quicksettings"):
            gr.Radio(["sd", "xl", "flux", "all"], value="sd", label="UI", elem_id="forge_ui_preset")
            checkpoint = _checkpoint(engine, "Checkpoint", elem_classes=["model_selection"])
            gr.Dropdown(["vae-ft-mse.safetensors"], multiselect=True, label="VAE / Text Encoder")
        _build_tabs(page, engine, checkpoint, add_route)
    return page


def _checkpoint(engine: Engine, label: str, **options: Any) -> gr.Dropdown:
    return gr.Dropdown(CHECKPOINTS, value=lambda: engine.checkpoint, label=label, **options)


def _build_tabs(page: gr.Blocks, engine: Engine, checkpoint: gr.Dropdown, add_route: Callable[..., None]) -> None:
    def read_progress(request: dict[str, Any] = Body()) -> dict[str, Any]:  # noqa: B008 - FastAPI's way
        return engine.read_progress(request)

    add_route("internal/progress", read_progress, methods=["POST"])
    checkpoint.change(engine.load, checkpoint, None, show_progress="hidden")
    with gr.Tabs(elem_id="tabs"):
        with gr.Tab("txt2img", id="txt2img"):
            _build_txt2img(engine)
        with gr.Tab("img2img", id="img2img"):
            gr.Textbox(show_label=False, elem_id="img2img_prompt", elem_classes=["prompt"])
            gr.Button("Generate", elem_id="img2img_generate", variant="primary")
    page.load(None, None, None, **_script(SCRIPT))


def _build_txt2img(engine: Engine) -> None:
    task = gr.Textbox(visible=False)
    with gr.Row(elem_id="txt2img_toprow"):
        with gr.Column(elem_id="txt2img_prompt_container"):
            prompt = gr.Textbox(label="Prompt", show_label=False, lines=3, elem_id="txt2img_prompt")
            negative = gr.Textbox(label="Negative prompt", show_label=False, lines=3, elem_id="txt2img_neg_prompt")
        with gr.Row(elem_id="txt2img_generate_box"):
            interrupt = gr.Button("Interrupt", elem_id="txt2img_interrupt")
            gr.Button("Skip", elem_id="txt2img_skip")
            interrupting = gr.Button("Interrupting...", elem_id="txt2img_interrupting")
            submit = gr.Button("Generate", elem_id="txt2img_generate", variant="primary")
    sampler = gr.Dropdown(SAMPLERS, value=SAMPLERS[0], label="Sampling method", elem_id="txt2img_sampling")
    gr.Dropdown(SCHEDULERS, value=SCHEDULERS[0], label="Schedule type", elem_id="txt2img_scheduler")
    settings = [
        gr.Slider(1, 150, 20, step=1, label="Sampling steps", elem_id="txt2img_steps"),
        sampler,
        gr.Slider(64, 2048, 512, step=8, label="Width", elem_id="txt2img_width"),
        gr.Slider(64, 2048, 512, step=8, label="Height", elem_id="txt2img_height"),
        gr.Slider(1, 100, 1, step=1, label="Batch count", elem_id="txt2img_batch_count"),
        gr.Slider(1, 30, 7, step=0.5, label="CFG Scale", elem_id="txt2img_cfg_scale"),
        gr.Number(-1, label="Seed", precision=0, elem_id="txt2img_seed"),
    ]
    with gr.Column(elem_id="txt2img_results"):
        with gr.Group(elem_id="txt2img_gallery_container"):
            options = {"columns": 4, "preview": True, "show_label": False, "elem_id": "txt2img_gallery"}
            gallery = gr.Gallery(label="Output", **options)
        info = gr.HTML(elem_id="html_info_txt2img")
        log_line = gr.HTML(elem_id="html_log_txt2img")
    inputs = [task, prompt, negative, *settings]
    submit.click(engine.generate, inputs, [gallery, info, log_line], show_progress="hidden", **_script("submitTxt2img"))
    interrupt.click(engine.interrupt, None, None, queue=False, **_script("showInterrupting"))
    interrupting.click(engine.interrupt, None, None, queue=False)


def _script(source: str) -> dict[str, str]:
    return {"_js" if IS_VERSION_3 else "js": source}


def _data_url(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
