"""Twenty layouts of public Gradio apps, for tests of learned recipes: ``python -m … PORT`` serves each at a path.

The code runs on Gradio 3.41 and every later version. Each app draws the picture that ``render_image`` makes of its
inputs, so that a test can tell which event was used, with which values.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI
from PIL import Image

from tests.support.programs.rendering import render_image

STEP_S = 0.3
CONCURRENCY = 4
# The steps that ``stoppable_page`` had made at each end.
STOPPED_AFTER: list[int] = []


def _draw(*values: Any, count: int = 1) -> list[Image.Image]:
    """Return the pictures of an event's values, after a moment."""
    time.sleep(STEP_S)
    # Gradio 6 passes None for a hidden text, other versions an empty one.
    text = "|".join(f"{value:g}" if isinstance(value, int | float) else str(value or "") for value in values)
    return [render_image(text, number) for number in range(count)]


def _draw_one(*values: Any) -> Image.Image:
    return _draw(*values)[0]


def _draw_two(*values: Any) -> list[Image.Image]:
    return _draw(*values, count=2)


def _stream(*values: Any) -> Iterator[Image.Image]:
    text = "|".join(str(value) for value in values)
    for step in range(1, 4):
        time.sleep(STEP_S)
        yield render_image(text, brightness=step / 4)
    time.sleep(STEP_S)
    yield render_image(text)


def interface_page() -> gr.Blocks:
    """``gr.Interface`` from a text to an image."""
    return gr.Interface(_draw_one, gr.Textbox(label="Prompt"), gr.Image(label="Result"))


def interface_with_settings_page() -> gr.Blocks:
    """``gr.Interface`` with settings and a gallery, and words of its own."""
    fields = [
        gr.Textbox(label="Describe the image"),
        gr.Textbox(label="Things to avoid"),
        gr.Slider(1, 50, value=20, step=1, label="Inference steps"),
        gr.Slider(0, 20, value=7.5, step=0.5, label="Guidance scale"),
        gr.Dropdown(["Euler", "DDIM"], value="Euler", label="Scheduler"),
    ]
    return gr.Interface(_draw_two, fields, gr.Gallery(label="Generated"), title="Painter")


def template_page() -> gr.Blocks:
    """The text-to-image template: unlabelled prompt and result, a closed accordion, a seed that is drawn at random."""

    def infer(prompt: str, negative: str, seed: float, is_random: bool, *settings: float) -> Any:
        shown = 0 if is_random else seed
        return _draw_one(prompt, negative, shown, *settings), shown

    with gr.Blocks() as page:
        gr.Markdown("# Text-to-Image Template")
        with gr.Row():
            prompt = gr.Text(label="Prompt", show_label=False, max_lines=1, placeholder="Enter your prompt")
            run_button = gr.Button("Run", variant="primary")
        result = gr.Image(label="Result", show_label=False)
        with gr.Accordion("Advanced Settings", open=False):
            negative = gr.Text(label="Negative prompt", max_lines=1, visible=False)
            seed = gr.Slider(0, 2**31 - 1, value=0, step=1, label="Seed")
            is_random = gr.Checkbox(label="Randomize seed", value=True)
            with gr.Row():
                width = gr.Slider(256, 1024, value=512, step=32, label="Width")
                guidance = gr.Slider(0.0, 10.0, value=3.5, step=0.1, label="Guidance scale")
        gr.Examples([["An astronaut riding a horse"], ["A delicious ceviche"]], [prompt])
        inputs = [prompt, negative, seed, is_random, width, guidance]
        run_button.click(infer, inputs, [result, seed])
        prompt.submit(infer, inputs, [result, seed])
    return page


def two_tasks_page() -> gr.Blocks:
    """Text to image and image to image in two tab pages with the same labels."""

    def redraw(source: Any, prompt: str, strength: float) -> Image.Image:
        if source is None:
            raise gr.Error("Upload a picture first.")
        return _draw_one("img2img", prompt, strength)

    with gr.Blocks() as page, gr.Tabs():
        with gr.Tab("Text to image"):
            prompt = gr.Textbox(label="Prompt", lines=3)
            seed = gr.Number(label="Seed", value=1, precision=0)
            button = gr.Button("Generate")
            result = gr.Image(label="Output")
            button.click(_draw_one, [prompt, seed], result)
        with gr.Tab("Image to image"):
            source = gr.Image(label="Source")
            other_prompt = gr.Textbox(label="Prompt", lines=3)
            strength = gr.Slider(0, 1, value=0.5, label="Strength")
            other_button = gr.Button("Generate")
            other_result = gr.Image(label="Output")
            other_button.click(redraw, [source, other_prompt, strength], other_result)
    return page


def nested_tabs_page() -> gr.Blocks:
    """The task in the second tab page of the second tab page."""
    with gr.Blocks(title="Deep down") as page, gr.Tabs():
        with gr.Tab("About"):
            gr.Markdown("What this is.")
        with gr.Tab("Create"), gr.Tabs():
            with gr.Tab("Help"):
                gr.Markdown("How to use it.")
            with gr.Tab("Picture"):
                prompt = gr.Textbox(label="Your idea")
                button = gr.Button("Create picture")
                gallery = gr.Gallery(label="Pictures")
                button.click(_draw_two, prompt, gallery)
    return page


def two_prompts_page() -> gr.Blocks:
    """Two prompts, the negative one first, and a gallery with captions."""

    def generate(negative: str, prompt: str, steps: float) -> list[tuple[Image.Image, str]]:
        pictures = _draw(prompt, negative, steps, count=2)
        return [(picture, f"picture {number}") for number, picture in enumerate(pictures)]

    with gr.Blocks() as page:
        with gr.Row():
            negative = gr.Textbox(label="Negative prompt", lines=2, value="blurry")
            prompt = gr.Textbox(label="Prompt", lines=2)
        steps = gr.Slider(1, 100, value=30, step=1, label="Steps")
        gallery = gr.Gallery(label="Results", columns=2)
        button = gr.Button("Generate", variant="primary")
        button.click(generate, [negative, prompt, steps], gallery)
    return page


def german_page() -> gr.Blocks:
    """A German app with a closed accordion."""
    with gr.Blocks(title="Bildgenerator") as page:
        prompt = gr.Textbox(label="Beschreibung", placeholder="Was soll zu sehen sein?")
        with gr.Accordion("Erweiterte Einstellungen", open=False):
            negative = gr.Textbox(label="Negativer Prompt")
            width = gr.Slider(256, 1024, value=512, step=64, label="Breite")
            height = gr.Slider(256, 1024, value=512, step=64, label="Höhe")
        button = gr.Button("Bild erzeugen")
        result = gr.Image(label="Ergebnis")
        button.click(_draw_one, [prompt, negative, width, height], result)
    return page


def chinese_page() -> gr.Blocks:
    """A Chinese app with a button that clears all fields."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="提示词", lines=3)
        negative = gr.Textbox(label="反向提示词", lines=2)
        seed = gr.Number(label="随机种子", value=42, precision=0)
        with gr.Row():
            clear = gr.Button("清除")
            button = gr.Button("生成图片", variant="primary")
        gallery = gr.Gallery(label="结果")
        clear.click(lambda: ("", "", None), None, [prompt, negative, gallery])
        button.click(_draw_two, [prompt, negative, seed], gallery)
    return page


def russian_page() -> gr.Blocks:
    """A Russian app whose result is a stream of previews."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Описание картинки")
        button = gr.Button("Нарисовать")
        result = gr.Image(label="Картинка")
        button.click(_stream, [prompt], result)
    return page


def enter_key_page() -> gr.Blocks:
    """A page without a button: the Enter key in the prompt starts the work."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="What do you want to see?")
        result = gr.Image(label="Here it is")
        prompt.submit(_draw_one, prompt, result)
    return page


def chained_page() -> gr.Blocks:
    """A chain of events: the button is disabled, the work is done, the button is enabled again."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        seed = gr.Slider(0, 1000, value=5, step=1, label="Seed")
        button = gr.Button("Generate", variant="primary")
        stop = gr.Button("Stop", variant="stop")
        gallery = gr.Gallery(label="Images")
        started = button.click(lambda: gr.update(interactive=False), None, button)
        work = started.then(_draw_two, [prompt, seed], gallery)
        work.then(lambda: gr.update(interactive=True), None, button)
        stop.click(None, None, None, cancels=[work])
    return page


def expander_page() -> gr.Blocks:
    """A prompt that a second event rewrites, and buttons for other tasks before the right one."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        with gr.Row():
            surprise = gr.Button("Surprise me")
            enhance = gr.Button("Enhance prompt")
            button = gr.Button("Generate image")
        result = gr.Image(label="Result")
        surprise.click(lambda: "a red barn", None, prompt)
        enhance.click(lambda text: f"{text}, masterpiece", prompt, prompt)
        button.click(_draw_one, prompt, result)
    return page


def upscaler_page() -> gr.Blocks:
    """The result is also the source of another event, which also takes the prompt."""

    def upscale(source: Any, prompt: str) -> Image.Image:
        if source is None:
            raise gr.Error("There is nothing to upscale.")
        return _draw_one("upscaled", prompt)

    with gr.Blocks() as page:
        with gr.Row():
            with gr.Column():
                prompt = gr.Textbox(label="Prompt")
                style = gr.Radio(["Photo", "Drawing"], value="Photo", label="Style")
                button = gr.Button("Generate", variant="primary")
                upscale_button = gr.Button("Upscale")
            with gr.Column():
                result = gr.Image(label="Result", type="pil")
                larger = gr.Image(label="Upscaled")
        upscale_button.click(upscale, [result, prompt], larger)
        button.click(_draw_one, [prompt, style], result)
    return page


def optional_source_page() -> gr.Blocks:
    """A source image that may be left empty."""

    def generate(source: Any, prompt: str, strength: float) -> Image.Image:
        return _draw_one("no source" if source is None else "source", prompt, strength)

    with gr.Blocks() as page:
        with gr.Row():
            source = gr.Image(label="Reference (optional)")
            result = gr.Image(label="Generated image")
        prompt = gr.Textbox(label="Prompt")
        strength = gr.Slider(0, 1, value=0.75, step=0.05, label="Denoising strength")
        button = gr.Button("Run")
        button.click(generate, [source, prompt, strength], result)
    return page


def silent_page() -> gr.Blocks:
    """The app does not show that it works."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        button = gr.Button("Generate")
        result = gr.Image(label="Result")
        button.click(_draw_one, prompt, result, show_progress="hidden")
    return page


def model_choice_page() -> gr.Blocks:
    """Models, styles and switches, some without counterpart in a recipe."""

    def generate(prompt: str, model: str, style: str, extras: list[str], is_tiled: bool) -> Image.Image:
        return _draw_one(prompt, model, style, "+".join(extras), is_tiled)

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt", info="English works best", elem_id="main-prompt")
        model = gr.Dropdown(["SDXL 1.0", "Flux.1 dev"], value="SDXL 1.0", label="Model")
        style = gr.Radio(["None", "Comic", "Oil"], value="None", label="Style")
        extras = gr.CheckboxGroup(["Sharpen", "Denoise"], value=["Sharpen"], label="Extras")
        is_tiled = gr.Checkbox(label="Tileable", value=True)
        button = gr.Button("Generate", elem_id="go")
        result = gr.Image(label="Result", elem_id="picture")
        button.click(generate, [prompt, model, style, extras, is_tiled], result)
    return page


def settings_tab_page() -> gr.Blocks:
    """The settings stand in a tab page of their own, beside the one with the prompt."""
    with gr.Blocks() as page, gr.Tabs():
        with gr.Tab("Prompt"):
            prompt = gr.Textbox(label="Prompt text")
            button = gr.Button("Generate")
            gallery = gr.Gallery(label="Gallery")
        with gr.Tab("Settings"):
            steps = gr.Slider(1, 50, value=25, step=1, label="Steps")
            sampler = gr.Dropdown(["Euler", "Heun"], value="Euler", label="Sampler")
        button.click(_draw_two, [prompt, steps, sampler], gallery)
    return page


def several_images_page() -> gr.Blocks:
    """Several images side by side, hidden until they are there, instead of a gallery."""

    def generate(prompt: str) -> list[Any]:
        return [gr.update(value=picture, visible=True) for picture in _draw(prompt, count=3)]

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        button = gr.Button("Create")
        with gr.Row():
            images = [gr.Image(label=f"Image {number}", visible=False) for number in (1, 2, 3)]
        button.click(generate, prompt, images)
    return page


def unlabelled_page() -> gr.Blocks:
    """Fields that share a label, so that only their order tells them apart."""
    with gr.Blocks() as page:
        with gr.Row():
            prompt = gr.Textbox(placeholder="Describe your picture")
            other = gr.Textbox(placeholder="Negative words")
        button = gr.Button("Go")
        result = gr.Image()
        button.click(_draw_one, [prompt, other], result)
    return page


def chat_page() -> gr.Blocks:
    """A chat, whose pictures are part of its messages: no event returns a picture."""

    def answer(message: str, history: list[Any]) -> tuple[str, list[Any]]:
        return "", [*history, {"role": "assistant", "content": message}]

    with gr.Blocks() as page:
        chat = gr.Chatbot(label="Chat")
        message = gr.Textbox(label="Message")
        message.submit(answer, [message, chat], [message, chat])
    return page


def two_engines_page() -> gr.Blocks:
    """The more likely of two events always fails."""

    def fail(prompt: str) -> None:
        raise gr.Error(f"There is no graphics card for {prompt}.")

    with gr.Blocks(title="Two engines") as page:
        prompt = gr.Textbox(label="Prompt")
        fast = gr.Button("Generate fast", variant="primary")
        slow = gr.Button("Generate slowly")
        fast_result = gr.Image(label="Fast result")
        slow_result = gr.Image(label="Slow result")
        fast.click(fail, prompt, fast_result)
        slow.click(_draw_one, prompt, slow_result)
    return page


def sidebar_page() -> gr.Blocks:
    """The settings stand in a closed sidebar, which Gradio has since version 5."""
    with gr.Blocks() as page:
        with gr.Sidebar(open=False):
            sampler = gr.Dropdown(["Euler", "Heun"], value="Euler", label="Sampler")
        prompt = gr.Textbox(label="Prompt")
        button = gr.Button("Generate")
        result = gr.Image(label="Result")
        button.click(_draw_one, [prompt, sampler], result)
    return page


def stoppable_page() -> gr.Blocks:
    """A generator with a button, in a tab of its own, that stops it; ``STOPPED_AFTER`` gets the steps that it made."""

    def generate(prompt: str) -> Iterator[Image.Image]:
        step = 0
        try:
            for step in range(1, 101):
                time.sleep(STEP_S)
                yield render_image(prompt, brightness=step / 101)
        finally:
            STOPPED_AFTER.append(step)

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        button = gr.Button("Generate", variant="primary")
        result = gr.Image(label="Result")
        work = button.click(generate, prompt, result)
        with gr.Tabs():
            with gr.Tab("About"):
                gr.Markdown("An app")
            with gr.Tab("Control"):
                stop = gr.Button("Stop", variant="stop")
        stop.click(None, None, None, cancels=[work])
    return page


def source_page() -> gr.Blocks:
    """The app refuses to work without a picture, which stands in a closed accordion."""

    def generate(source: Any, prompt: str) -> Image.Image:
        if source is None:
            raise gr.Error("Upload a picture first.")
        return _draw_one("source", prompt)

    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        with gr.Accordion("Source", open=False):
            source = gr.Image(label="Picture to change")
        button = gr.Button("Change")
        result = gr.Image(label="Result")
        button.click(generate, [source, prompt], result)
    return page


LAYOUTS: dict[str, Callable[[], gr.Blocks]] = {
    "interface": interface_page,
    "interface-with-settings": interface_with_settings_page,
    "template": template_page,
    "two-tasks": two_tasks_page,
    "nested-tabs": nested_tabs_page,
    "two-prompts": two_prompts_page,
    "german": german_page,
    "chinese": chinese_page,
    "russian": russian_page,
    "enter-key": enter_key_page,
    "chained": chained_page,
    "expander": expander_page,
    "upscaler": upscaler_page,
    "optional-source": optional_source_page,
    "silent": silent_page,
    "model-choice": model_choice_page,
    "settings-tab": settings_tab_page,
    "several-images": several_images_page,
    "unlabelled": unlabelled_page,
    "chat": chat_page,
}


def build_application() -> FastAPI:
    """Return an application with every layout at a path of its own."""
    app = FastAPI()
    app.get("/stopped")(lambda: STOPPED_AFTER)
    more = {"two-engines": two_engines_page, "stoppable": stoppable_page, "source": source_page}
    more |= {"sidebar": sidebar_page} if hasattr(gr, "Sidebar") else {}
    for name, build_page in {**LAYOUTS, **more}.items():
        app = gr.mount_gradio_app(app, build_page().queue(), path=f"/{name}")
    return app


if __name__ == "__main__":
    uvicorn.run(build_application(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
