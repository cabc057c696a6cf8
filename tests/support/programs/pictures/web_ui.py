"""The img2img tab of AUTOMATIC1111's web UI and of Forge, with their ids: ``python -m … PORT automatic1111|forge``.

AUTOMATIC1111 takes the first picture in a ``gr.Image``; Forge in a canvas of its own, which keeps the picture as a PNG
in a hidden text. Which tab of img2img is open decides whether a mask is used, as in the real programs.
"""

import base64
import io
import os
import sys
import time
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from PIL import Image

FILL = (20, 160, 60)
WORK_S = 1.0
MODES = ("img2img", "Sketch", "Inpaint", "Inpaint sketch", "Inpaint upload", "Batch")
INPAINT_UPLOAD = MODES.index("Inpaint upload")
STYLE = "#img2img_interrupt { display: none; } .logical { display: none; }"
# The button is shown and hidden by the page's own script, and the open tab goes to the server as a number.
SUBMIT = """(...values) => {
  const button = document.getElementById("img2img_interrupt"), gallery = document.getElementById("img2img_gallery");
  button.style.display = "block";
  const watcher = new MutationObserver(() => {
    if (!gallery.querySelector("img")) return;
    button.style.display = "none";
    watcher.disconnect();
  });
  watcher.observe(gallery, { attributes: true, childList: true, subtree: true });
  const tabs = [...document.querySelector("#mode_img2img .tab-nav").querySelectorAll("button")];
  values[0] = tabs.findIndex((tab) => tab.classList.contains("selected"));
  return values;
}"""
CANVAS = """<div class="forge-container">
<input type="file" id="imageInput" class="forge-file-upload" style="display:none"><img class="forge-image">
<canvas class="forge-drawing-canvas" width="1" height="1" style="display:none"></canvas></div>"""
CANVAS_SCRIPT = """() => {
  document.getElementById("imageInput").onchange = async ({ target }) => {
    const shown = document.querySelector("#img2img_image .forge-image");
    shown.src = URL.createObjectURL(target.files[0]);
    await shown.decode();
    const canvas = document.createElement("canvas");
    canvas.width = shown.naturalWidth;
    canvas.height = shown.naturalHeight;
    canvas.getContext("2d").drawImage(shown, 0, 0);
    const field = document.querySelector("#logical_image textarea");
    field.value = canvas.toDataURL("image/png");
    field.dispatchEvent(new Event("input"));
  };
}"""


def generate(mode: float, prompt: str, strength: float, *pictures: Any) -> list[Image.Image]:
    """Paint FILL over the picture: where the mask is white in "Inpaint upload", over its left half in "img2img"."""
    time.sleep(WORK_S)
    first, base, mask = pictures
    if isinstance(first, str):
        first = Image.open(io.BytesIO(base64.b64decode(first.partition(",")[2]))) if first else None
    if int(mode) == INPAINT_UPLOAD:
        picture, alpha = base, mask.convert("L")
    else:
        picture = first
        alpha = Image.new("L", first.size, 0)
        alpha.paste(255, (0, 0, first.width // 2, first.height))
    if strength < 0.5:
        raise gr.Error(f"{prompt}: too weak")
    return [Image.composite(Image.new("RGB", picture.size, FILL), picture.convert("RGB"), alpha)]


def img2img_page(program: str) -> gr.Blocks:
    """Return the page of a program."""
    with gr.Blocks(css=STYLE, title="Stable Diffusion") as page, gr.Tabs(elem_id="tabs"):
        with gr.Tab("txt2img", id="txt2img"):
            gr.Textbox(show_label=False, elem_id="txt2img_prompt")
            gr.Button("Generate", elem_id="txt2img_generate")
        with gr.Tab("img2img", id="img2img"):
            _build_img2img(program)
        if program == "forge":
            page.load(None, None, None, **_script(CANVAS_SCRIPT))
    return page


def _build_img2img(program: str) -> None:
    mode = gr.Number(0, visible=False)
    prompt = gr.Textbox(show_label=False, lines=3, elem_id="img2img_prompt")
    gr.Button("Interrupt", elem_id="img2img_interrupt")
    submit = gr.Button("Generate", elem_id="img2img_generate", variant="primary")
    with gr.Tabs(elem_id="mode_img2img"):
        for name in MODES:
            with gr.Tab(name, id=name.replace(" ", "_")):
                if name == "img2img" and program == "forge":
                    gr.HTML(CANVAS, elem_id="img2img_image")
                    first: Any = gr.Textbox(elem_id="logical_image", elem_classes=["logical"])
                elif name == "img2img":
                    first = gr.Image(show_label=False, type="pil", elem_id="img2img_image")
                elif name == "Inpaint upload":
                    base = gr.Image(show_label=False, type="pil", elem_id="img_inpaint_base")
                    mask = gr.Image(label="Mask", type="pil", elem_id="img_inpaint_mask")
    strength = gr.Slider(0, 1, 0.75, step=0.01, label="Denoising strength", elem_id="img2img_denoising_strength")
    gallery = gr.Gallery(show_label=False, elem_id="img2img_gallery")
    inputs = [mode, prompt, strength, first, base, mask]
    submit.click(generate, inputs, gallery, **_script(SUBMIT))


def _script(code: str) -> dict[str, str]:
    """Return the option for a script of the page; Gradio 3 has another name for it."""
    return {"_js" if gr.__version__.startswith("3.") else "js": code}


if __name__ == "__main__":
    img2img_page(sys.argv[2]).queue().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
