"""Serves all pages on the installed version of Gradio: ``python -m … `` with commands on its standard input.

``start PORT`` starts the program, ``kill`` ends it as an accident would, and both can be repeated: the libraries are
imported once, and each program is a fork. The process ends with its standard input.
"""

import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI

from tests.support.programs.matrix.pages import PAGES, PASSWORD, USER
from tests.support.programs.matrix.painting import log

MAJOR_VERSION = int(gr.__version__.split(".")[0])


class Programs:
    """An ASGI application with every page at a path of its own, each built when it is first asked for.

    Requests with ``X-Forwarded-Prefix`` are handled as a server with that root path does (``uvicorn --root-path``).
    """

    def __init__(self) -> None:
        self._apps: dict[str, FastAPI] = {}
        self._running = AsyncExitStack()
        self._base = FastAPI()
        self._base.add_api_route("/log", lambda: log)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self._base(scope, receive, send)
            return
        name = scope["path"].strip("/").partition("/")[0]
        app = await self._find_app(name)
        if prefix := dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode():
            path = prefix + scope["path"]
            scope = {**scope, "root_path": prefix, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    async def _find_app(self, name: str) -> FastAPI:
        if name not in PAGES:
            return self._base
        if name not in self._apps:
            self._apps[name] = app = _mount(_build_page(name), f"/{name}")
            await self._running.enter_async_context(app.router.lifespan_context(app))
        return self._apps[name]


def _build_page(name: str) -> gr.Blocks:
    page = PAGES[name]()
    if name == "login":
        page.auth = [(USER, PASSWORD)]
        page.auth_message = None
    # Version 3 has no queue, and no generators, unless it is asked for one.
    if name == "crowded":
        page.queue(max_size=1)
    elif MAJOR_VERSION == 3:
        page.queue()
    return page


def _mount(page: gr.Blocks, path: str) -> FastAPI:
    if MAJOR_VERSION == 3:
        return gr.mount_gradio_app(FastAPI(), page, path=path)
    # Without show_error, a page shows the word "Error" for exceptions that are not gr.Error, as with launch().
    return gr.mount_gradio_app(FastAPI(), page, path=path, auth=page.auth, show_error=False)


def main() -> None:
    """Obey the commands."""
    child = 0
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "start":
            child = os.fork()
            if not child:
                os.close(0)
                uvicorn.run(Programs(), host="127.0.0.1", port=int(arguments[0]), log_level="warning")
                os._exit(0)
        elif command == "kill":
            _kill(child)
    if child:
        _kill(child)


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
