"""A Gradio page that paints over a picture where a mask is white: ``python -m … PORT``; for Gradio 3.41 and later."""

import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
from PIL import Image

FILL = (20, 160, 60)


def paint(prompt: str, picture: Image.Image | None, mask: Image.Image | None) -> Image.Image:
    """Return the picture with FILL where the mask is white; all of it without a mask, a square without a picture."""
    base = picture.convert("RGB") if picture else Image.new("RGB", (8, 8), "black")
    fill = Image.new("RGB", base.size, FILL)
    return Image.composite(fill, base, mask.convert("L")) if mask else fill


def picture_page() -> gr.Blocks:
    """Return the page."""
    with gr.Blocks() as page:
        prompt = gr.Textbox(label="Prompt")
        picture = gr.Image(label="Picture", type="pil", elem_id="picture")
        mask = gr.Image(label="Mask", type="pil", elem_id="mask")
        button = gr.Button("Paint")
        result = gr.Image(label="Result", type="pil", elem_id="result", interactive=False)
        button.click(paint, [prompt, picture, mask], result)
    return page


if __name__ == "__main__":
    picture_page().queue().launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
