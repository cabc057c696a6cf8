"""Pages made with the real Gradio: two plain ones, and two with the element ids of well-known programs."""

import base64
import io
import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from tests.support.programs.rendering import STEPS, render_image

STEP_S = 0.25
REFUSED = "forbidden"
SAMPLERS = ["Euler", "Euler a", "DPM++ 2M", "DPM++ SDE Karras"]
CHECKPOINTS = ["dreamshaper_8.safetensors [879db523c3]", "sd_xl_base_1.0.safetensors [31e35c80fc]"]


def _check(prompt: str) -> None:
    if REFUSED in prompt:
        raise gr.Error("That prompt is not allowed here.")


def plain_page() -> gr.Blocks:
    """A typical ``gr.Interface``: a generator that streams intermediate images into a gallery."""

    def generate(prompt: str, negative: str, seed: float, steps: float, sampler: str) -> Iterator[list[Any]]:
        _check(prompt)
        text = f"{prompt}|{negative}|{seed:.0f}|{steps:.0f}|{sampler}"
        for step in range(1, STEPS):
            time.sleep(STEP_S)
            yield [render_image(text, brightness=step / STEPS)]
        time.sleep(STEP_S)
        yield [render_image(text, 0), render_image(text, 1)]

    return gr.Interface(
        generate,
        [
            gr.Textbox(label="Prompt"),
            gr.Textbox(label="Negative prompt"),
            gr.Number(label="Seed", value=0, precision=0),
            gr.Slider(1, 50, 20, step=1, label="Steps"),
            gr.Dropdown(SAMPLERS, value="Euler", label="Sampler"),
        ],
        gr.Gallery(label="Result", format="png"),
        flagging_mode="never",
    )


def relabelled_page() -> gr.Blocks:
    """A page with other labels and one plain image."""

    def draw(idea: str, number: float) -> Any:
        time.sleep(STEP_S)
        return render_image(f"{idea}|{number:.0f}")

    with gr.Blocks() as page:
        idea = gr.Textbox(label="Your idea")
        number = gr.Number(label="Lucky number", value=7, precision=0)
        draw_button = gr.Button("Draw it")
        picture = gr.Image(label="Drawing", format="png")
        draw_button.click(draw, [idea, number], picture)
    return page


def automatic1111_page() -> gr.Blocks:
    """A page with AUTOMATIC1111's element ids: prompt, settings, interrupt button, live preview, gallery."""

    def generate(prompt: str, negative: str, *settings: Any) -> Iterator[tuple[Any, ...]]:
        steps, sampler, width, height, count, cfg, seed, checkpoint = settings
        _check(prompt)
        text = f"{prompt}|{negative}|{steps:.0f}|{sampler}|{cfg:g}|{seed:.0f}|{checkpoint}"
        size = (int(width), int(height))
        for step in range(1, STEPS):
            time.sleep(STEP_S)
            yield _live_preview_html(render_image(text, brightness=step / STEPS), step), gr.update(visible=True), None
        time.sleep(STEP_S)
        yield "", gr.update(visible=False), [render_image(text, number, size) for number in range(int(count))]

    with gr.Blocks() as page:
        checkpoint = gr.Dropdown(
            CHECKPOINTS,
            value=CHECKPOINTS[0],
            label="Stable Diffusion checkpoint",
            **_ids("setting_sd_model_checkpoint"),
        )
        prompt = gr.Textbox(show_label=False, lines=3, **_ids("txt2img_prompt"))
        negative = gr.Textbox(show_label=False, lines=3, **_ids("txt2img_neg_prompt"))
        interrupt = gr.Button("Interrupt", visible=False, **_ids("txt2img_interrupt"))
        generate_button = gr.Button("Generate", **_ids("txt2img_generate"))
        settings = [
            gr.Slider(1, 150, 20, step=1, label="Sampling steps", **_ids("txt2img_steps")),
            gr.Dropdown(SAMPLERS, value="Euler", label="Sampling method", **_ids("txt2img_sampling")),
            gr.Slider(64, 2048, 512, step=8, label="Width", **_ids("txt2img_width")),
            gr.Slider(64, 2048, 512, step=8, label="Height", **_ids("txt2img_height")),
            gr.Slider(1, 100, 1, step=1, label="Batch count", **_ids("txt2img_batch_count")),
            gr.Slider(1, 30, 7, step=0.5, label="CFG Scale", **_ids("txt2img_cfg_scale")),
            gr.Number(-1, label="Seed", precision=0, **_ids("txt2img_seed")),
        ]
        with gr.Column(**_ids("txt2img_results")):
            live = gr.HTML("", **_ids("txt2img_gallery_container"))
            gallery = gr.Gallery(show_label=False, format="png", **_ids("txt2img_gallery"))
        generate_button.click(generate, [prompt, negative, *settings, checkpoint], [live, interrupt, gallery])
    return page


def fooocus_page() -> gr.Blocks:
    """A page with Fooocus's element ids: progress bar, preview window, final gallery."""

    def generate(prompt: str, negative: str, count: float) -> Iterator[tuple[Any, ...]]:
        _check(prompt)
        text = f"{prompt}|{negative}"
        for step in range(1, STEPS):
            time.sleep(STEP_S)
            label = f"<span>Sampling step {step}/{STEPS}</span>"
            progress = f'<progress value="{100 * step // STEPS}" max="100"></progress>{label}'
            image = render_image(text, brightness=step / STEPS)
            yield (
                gr.update(value=progress, visible=True),
                gr.update(value=image, visible=True),
                None,
                gr.update(visible=True),
            )
        time.sleep(STEP_S)
        hidden = gr.update(visible=False)
        yield hidden, hidden, [render_image(text, number) for number in range(int(count))], hidden

    with gr.Blocks() as page:
        preview = gr.Image(label="Preview", visible=False, format="png", elem_classes=["main_view"])
        bar = gr.HTML(visible=False, elem_id="progress-bar", elem_classes="progress-bar")
        gallery = gr.Gallery(label="Gallery", format="png", elem_id="final_gallery", elem_classes=["final_gallery"])
        prompt = gr.Textbox(show_label=False, elem_id="positive_prompt")
        generate_button = gr.Button("Generate", elem_id="generate_button")
        stop = gr.Button("Stop", visible=False, elem_id="stop_button")
        negative = gr.Textbox(label="Negative Prompt", elem_id="negative_prompt")
        count = gr.Slider(1, 32, 2, step=1, label="Image Number")
        generate_button.click(generate, [prompt, negative, count], [bar, preview, gallery, stop])
    return page


def _ids(name: str) -> dict[str, str]:
    return {"elem_id": name}


def _live_preview_html(picture: Any, step: int) -> str:
    """Return the progress bar and live preview as AUTOMATIC1111's script writes them into the page."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    source = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    percent = 100 * step // STEPS
    bar = f'<div class="progressDiv"><div class="progress" style="width: {percent}%">{percent}% ETA: 1s</div></div>'
    return f'{bar}<div class="livePreview"><img src="{source}"></div>'
