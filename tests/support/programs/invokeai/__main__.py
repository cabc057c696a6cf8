"""Serves InvokeAI: ``python -m tests.support.programs.invokeai VERSION=PORT``."""

import sys

import uvicorn

from tests.support.programs.environments import unpack_packages
from tests.support.programs.invokeai.routes import create_app


def serve(version: str, port: int) -> None:
    """Serve the page of a version until the process ends."""
    page = unpack_packages(f"invokeai-{version}") / "invokeai" / "frontend" / "web" / "dist"
    uvicorn.run(create_app(page), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    name, _, number = sys.argv[1].partition("=")
    serve(name, int(number))
