"""A stand-in for Fooocus 2.5.5 (Gradio 3.41.2), with the ids of its page and the traits that make it hard to drive.

One worker works for all pages, on one prompt after another, and paints on when a page has left, unless that page's Stop
was pressed. The settings stand in a column that is hidden until "Advanced" is ticked, and a second "Advanced" is hidden
elsewhere. An exception shows nothing: the gallery is emptied, and the page is idle again.
"""

import hashlib
import queue
import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from tests.support.programs.matrix.painting import SLOW_STEPS, STEP_S, join_values, record, write_picture
from tests.support.programs.rendering import STEPS, render_image

MAX_SEED = 2**63 - 1
PERFORMANCES = ["Quality", "Speed", "Lightning"]
PROGRESS = (
    '<div class="loader-container"><div class="loader"></div><div class="progress-container">'
    '<progress value="{percent}" max="100"></progress></div><span>{words}</span></div>'
)
POLL_S = 0.02


class Task:
    """A prompt with its settings, and what the worker reports about it."""

    def __init__(self, values: tuple[Any, ...] = ()) -> None:
        self.values = values
        self.reports: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.is_stopped = False

    def __deepcopy__(self, _memo: Any) -> "Task":
        # Gradio copies the first value of a state for each page; a queue cannot be copied.
        return Task()


class Worker:
    """Paints one task after another in a thread of its own."""

    def __init__(self) -> None:
        self.tasks: queue.Queue[Task] = queue.Queue()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            task = self.tasks.get()
            results: list[str] = []
            try:
                self._paint(task, results)
            except RuntimeError:
                results.clear()
            task.reports.put(("finish", results))

    def _paint(self, task: Task, results: list[str]) -> None:
        prompt, negative, seed, count, performance = task.values
        record("fooocus", "started", prompt)
        steps = SLOW_STEPS if "slow" in prompt else STEPS
        text = join_values(prompt, negative, seed, *([] if performance == PERFORMANCES[1] else [performance]))
        for number in range(int(count)):
            for step in range(1, steps + 1):
                time.sleep(STEP_S)
                if task.is_stopped:
                    record("fooocus", "stopped", prompt)
                    return
                if step == 2 and "crash" in prompt:
                    raise RuntimeError("The checkpoint cannot be read.")
                percent = int(100 * (number + step / (steps + 1)) / count)
                words = f"Sampling step {step}/{steps}, image {number + 1}/{count} ..."
                task.reports.put(("preview", (percent, words, render_image(text, number, brightness=step / 9))))
            results.append(write_picture(text, number, "2026-11-28"))
            task.reports.put(("results", list(results)))
        hashes = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in results]
        record("fooocus", "finished", prompt, hashes=hashes)


def fooocus_page() -> gr.Blocks:
    """The page."""
    worker = Worker()

    def generate(task: Task) -> Iterator[tuple[Any, ...]]:
        bar = PROGRESS.format(percent=1, words="Waiting for task to start ...")
        yield gr.update(visible=True, value=bar), gr.update(visible=True, value=None), _hidden(None), _hidden()
        worker.tasks.put(task)
        while True:
            kind, report = task.reports.get()
            if kind == "preview":
                percent, words, picture = report
                bar = gr.update(visible=True, value=PROGRESS.format(percent=percent, words=words))
                yield bar, gr.update(visible=True, value=picture), gr.update(), _hidden()
            elif kind == "results":
                yield gr.update(visible=True), gr.update(visible=True), gr.update(visible=True, value=report), _hidden()
            else:
                yield _hidden(), _hidden(), _hidden(), gr.update(visible=True, value=report)
                return

    with gr.Blocks(title="Fooocus 2.5.5") as page:
        task = gr.State(Task())
        with gr.Row():
            with gr.Column(scale=2):
                outputs = _build_outputs()
                prompt = gr.Textbox(show_label=False, lines=3, autofocus=True, elem_id="positive_prompt")
                start = gr.Button("Generate", elem_id="generate_button", visible=True)
                gr.Button("Reconnect", elem_id="reset_button", visible=False)
                skip = gr.Button("Skip", elem_id="skip_button", visible=False)
                stop = gr.Button("Stop", elem_id="stop_button", visible=False)
                advanced = _build_panels()
            fields = _build_settings(advanced)
        negative, is_random, seed, count, performance = fields
        start.click(_show_stop, outputs=[stop, skip, start, outputs[-1]]).then(
            _choose_seed, [is_random, seed], seed
        ).then(lambda *values: Task(values), [prompt, negative, seed, count, performance], task).then(
            generate, task, outputs
        ).then(_hide_stop, outputs=[start, stop, skip])
        stop.click(_stop, task, task, queue=False, show_progress=False)
    return page


def _build_outputs() -> list[Any]:
    preview = gr.Image(label="Preview", visible=False, height=768, elem_classes=["main_view"])
    unfinished = gr.Gallery(label="Finished Images", visible=False, height=768, elem_classes=["main_view"])
    bar = gr.HTML(PROGRESS.format(percent=32, words="Progress 32%"), visible=False, elem_id="progress-bar")
    classes = ["resizable_area", "main_view", "final_gallery", "image_gallery"]
    gallery = gr.Gallery(label="Gallery", show_label=False, height=768, elem_classes=classes, elem_id="final_gallery")
    return [bar, preview, unfinished, gallery]


def _build_panels() -> gr.Checkbox:
    with gr.Row():
        with_image = gr.Checkbox(label="Input Image", value=False, container=False)
        gr.Checkbox(label="Enhance", value=False, container=False)
        advanced = gr.Checkbox(label="Advanced", value=False, container=False)
    with gr.Row(visible=False) as panel, gr.Tabs():
        with gr.Tab(label="Upscale or Variation"):
            gr.Image(label="Image", show_label=False)
        with gr.Tab(label="Image Prompt"):
            gr.Image(label="Image", show_label=False)
            gr.Checkbox(label="Advanced", value=False, container=False)
    with_image.change(_toggle, with_image, panel, queue=False, show_progress=False)
    return advanced


def _build_settings(advanced: gr.Checkbox) -> list[Any]:
    with gr.Column(scale=1, visible=False) as column, gr.Tab(label="Settings"):
        classes = ["performance_selection"]
        performance = gr.Radio(PERFORMANCES, value=PERFORMANCES[1], label="Performance", elem_classes=classes)
        with gr.Accordion(label="Aspect Ratios", open=False, elem_id="aspect_ratios_accordion"):
            gr.Radio(["1152 x 896", "896 x 1152"], value="1152 x 896", label="Aspect Ratios", show_label=False)
        count = gr.Slider(label="Image Number", minimum=1, maximum=32, step=1, value=2)
        negative = gr.Textbox(label="Negative Prompt", lines=2, elem_id="negative_prompt")
        is_random = gr.Checkbox(label="Random", value=True)
        seed = gr.Textbox(label="Seed", value=0, max_lines=1, visible=False)
    is_random.change(lambda checked: gr.update(visible=not checked), is_random, seed, queue=False, show_progress=False)
    advanced.change(_toggle, advanced, column, queue=False, show_progress=False)
    return [negative, is_random, seed, count, performance]


def _toggle(checked: bool) -> dict[str, Any]:
    return gr.update(visible=checked)


def _hidden(*value: Any) -> dict[str, Any]:
    return gr.update(visible=False, **({"value": value[0]} if value else {}))


def _show_stop() -> tuple[Any, ...]:
    shown = gr.update(visible=True, interactive=True)
    return shown, shown, gr.update(visible=False, interactive=False), []


def _hide_stop() -> tuple[Any, ...]:
    hidden = gr.update(visible=False, interactive=False)
    return gr.update(visible=True, interactive=True), hidden, hidden


def _choose_seed(is_random: bool, seed: str) -> int:
    try:
        chosen = int(seed)
    except ValueError:
        chosen = -1
    return random.randint(0, MAX_SEED) if is_random or not 0 <= chosen <= MAX_SEED else chosen


def _stop(task: Task) -> Task:
    task.is_stopped = True
    return task
