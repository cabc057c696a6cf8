"""Serves all test programs on one port: ``python -m tests.support.programs.serve PORT``."""

import os
import sys

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI

from tests.support.programs import gradio_pages, weights

GRADIO = {
    "/gradio": gradio_pages.plain_page,
    "/renamed": gradio_pages.relabelled_page,
    "/automatic1111": gradio_pages.automatic1111_page,
    "/fooocus": gradio_pages.fooocus_page,
}

USER, PASSWORD = "ann", "not a real password"


def create_app() -> FastAPI:
    """Return an application with each program at its own path."""
    app = FastAPI()
    app.include_router(weights.router, prefix="/weights")
    for path, make in GRADIO.items():
        app = gr.mount_gradio_app(app, make().queue(default_concurrency_limit=4), path=path)
    return gr.mount_gradio_app(app, gradio_pages.plain_page(), path="/locked", auth=(USER, PASSWORD))


if __name__ == "__main__":
    uvicorn.run(create_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
