"""Pages of our own, each with one trait of the pages that people make; they run on every version of Gradio since 3.41.

The words of a prompt ask for failures: see ``painting.paint``.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
from PIL import Image

from tests.support.programs.matrix.painting import (
    STEP_S,
    finish,
    join_values,
    paint,
    record,
    write_picture,
)
from tests.support.programs.rendering import STEPS, render_image

SAMPLERS = ["Euler", "Euler a", "DPM++ 2M", "DPM++ SDE Karras"]
STYLES = [f"Style {number}" for number in range(1, 301)]
TONES = ["Warm", "Neutral", "Cold"]
FINISHES = ["Matte", "Glossy"]
PAPERS = ["Cotton", "Rice"]
USER, PASSWORD = "ann", "not a real password"
OLD_PICTURE = "the picture that was there before"


def _streamed(page: str, prompt: str, *values: Any, count: int = 2) -> Iterator[list[Any]]:
    text = join_values(prompt, *values)
    for preview in paint(page, prompt, text):
        yield [preview]
    yield finish(page, prompt, text, count) if "nothing" not in prompt else []


def streamed_page() -> gr.Blocks:
    """Intermediate pictures in a gallery, then two finished ones; a button that stops."""

    def generate(*values: Any) -> Iterator[list[Any]]:
        yield from _streamed("streamed", *values)

    with gr.Blocks() as page:
        fields = [
            gr.Textbox(label="Prompt"),
            gr.Textbox(label="Negative prompt"),
            gr.Number(label="Seed", value=0, precision=0),
            gr.Slider(1, 50, 20, step=1, label="Steps"),
            gr.Dropdown(SAMPLERS, value="Euler", label="Sampler"),
        ]
        button = gr.Button("Generate", variant="primary")
        stop = gr.Button("Stop")
        run = button.click(generate, fields, gr.Gallery(label="Result"))
        stop.click(None, None, None, cancels=[run])
    return page


def captions_page() -> gr.Blocks:
    """A gallery whose pictures have captions."""

    def generate(prompt: str) -> Iterator[list[Any]]:
        for preview in paint("captions", prompt, prompt):
            yield [(preview, "a draft")]
        yield [(path, f"number {number}") for number, path in enumerate(finish("captions", prompt, prompt, 2))]

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        gr.Button("Generate").click(generate, prompt, gr.Gallery(label="Result"))
    return page


def img2img_page() -> gr.Blocks:
    """The first picture of the page is an input, which shows a picture from the beginning."""
    return _img2img(render_image(OLD_PICTURE))


def upload_page() -> gr.Blocks:
    """The first picture of the page is an input, which is empty."""
    return _img2img(None)


def _img2img(picture: Image.Image | None) -> gr.Blocks:
    def generate(source: Image.Image | None, prompt: str, strength: float) -> Iterator[Any]:
        pixel = "none" if source is None else join_values(*source.convert("RGB").getpixel((8, 8)))
        text = join_values(prompt, strength, pixel)
        yield from paint("img2img", prompt, text)
        yield finish("img2img", prompt, text)[0]

    with gr.Blocks() as page:
        source = gr.Image(label="Input image", type="pil", value=picture)
        prompt = gr.Textbox(label="Prompt")
        strength = gr.Slider(0, 1, 0.5, step=0.05, label="Strength")
        result = gr.Image(label="Result", interactive=False)
        gr.Button("Generate").click(generate, [source, prompt, strength], result)
    return page


def interface_page() -> gr.Blocks:
    """``gr.Interface``, whose button is called Submit, with one picture."""

    def generate(prompt: str, seed: float) -> str:
        record("interface", "started", prompt)
        time.sleep(STEP_S)
        return finish("interface", prompt, join_values(prompt, seed))[0]

    fields = [gr.Textbox(label="Prompt"), gr.Number(label="Seed", value=0, precision=0)]
    return gr.Interface(generate, fields, gr.Image(label="Result"))


def tabs_page() -> gr.Blocks:
    """Everything stands in the second tab."""

    def generate(*values: Any) -> Iterator[list[Any]]:
        yield from _streamed("tabs", *values)

    with gr.Blocks() as page, gr.Tabs():
        with gr.Tab("Welcome"):
            gr.Markdown("Choose a tab.")
        with gr.Tab("Make"):
            prompt = gr.Textbox(label="Prompt")
            seed = gr.Number(label="Seed", value=0, precision=0)
            gr.Button("Generate").click(generate, [prompt, seed], gr.Gallery(label="Result"))
    return page


def accordion_page() -> gr.Blocks:
    """The settings stand in a closed accordion."""

    def generate(*values: Any) -> Iterator[list[Any]]:
        yield from _streamed("accordion", *values)

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        button = gr.Button("Generate")
        with gr.Accordion("Advanced", open=False):
            settings = [
                gr.Textbox(label="Negative prompt"),
                gr.Number(label="Seed", value=0, precision=0),
                gr.Dropdown(SAMPLERS, value="Euler", label="Sampler"),
            ]
        button.click(generate, [prompt, *settings], gr.Gallery(label="Result"))
    return page


def choices_page() -> gr.Blocks:
    """Lists of every kind: with and without search, long, open to other values, with several values, radio buttons."""

    def generate(prompt: str, *values: Any) -> Iterator[list[Any]]:
        flat = ["+".join(value) if isinstance(value, list) else value for value in values]
        yield from _streamed("choices", prompt, *flat, count=1)

    with gr.Blocks() as page:
        fields = [
            gr.Textbox(label="Prompt"),
            gr.Dropdown(SAMPLERS, value="Euler", label="Sampler"),
            gr.Dropdown(TONES, value="Neutral", label="Tone", filterable=False),
            gr.Dropdown(STYLES, value="Style 1", label="Style"),
            gr.Dropdown(FINISHES, value="Matte", label="Finish", allow_custom_value=True),
            gr.Dropdown(PAPERS, value=[], label="Papers", multiselect=True),
            gr.Radio(["Portrait", "Landscape"], value="Portrait", label="Format"),
            gr.Checkbox(value=True, label="Tiled"),
        ]
        gr.Button("Generate").click(generate, fields, gr.Gallery(label="Result"))
    return page


def progress_page() -> gr.Blocks:
    """No intermediate pictures, but ``gr.Progress``."""

    def generate(prompt: str, progress: gr.Progress = gr.Progress()) -> list[str]:  # noqa: B008 - Gradio's way
        for _ in paint("progress", prompt, prompt):
            progress((progress_step(prompt), STEPS), desc="Sampling")
        return finish("progress", prompt, prompt, 2)

    counts: dict[str, int] = {}

    def progress_step(prompt: str) -> int:
        counts[prompt] = counts.get(prompt, 0) + 1
        return counts[prompt]

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        gr.Button("Generate").click(generate, prompt, gr.Gallery(label="Result"))
    return page


def hidden_page() -> gr.Blocks:
    """``show_progress="hidden"``: nothing shows that the page works. A picture is there from the beginning."""

    def generate(prompt: str) -> Iterator[Any]:
        yield from paint("hidden", prompt, prompt)
        yield finish("hidden", prompt, prompt)[0]

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        result = gr.Image(label="Result", value=write_picture(OLD_PICTURE), interactive=False)
        gr.Button("Generate").click(generate, prompt, result, show_progress="hidden")
    return page


def once_page() -> gr.Blocks:
    """A generator that yields once."""

    def generate(prompt: str) -> Iterator[list[str]]:
        record("once", "started", prompt)
        time.sleep(2 * STEP_S)
        yield finish("once", prompt, prompt, 2)

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        gr.Button("Generate").click(generate, prompt, gr.Gallery(label="Result"))
    return page


PAGES: dict[str, Callable[[], gr.Blocks]] = {
    "streamed": streamed_page,
    "captions": captions_page,
    "img2img": img2img_page,
    "upload": upload_page,
    "interface": interface_page,
    "tabs": tabs_page,
    "accordion": accordion_page,
    "choices": choices_page,
    "progress": progress_page,
    "hidden": hidden_page,
    "once": once_page,
    "crowded": streamed_page,
    "login": streamed_page,
}
