"""Serves all pages on the installed version of Gradio: ``python -m … `` with commands on its standard input.

``start PORT`` starts the program, ``kill`` ends it as an accident would, and both can be repeated: the libraries are
imported once, and each program is a fork. The process ends with its standard input.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from fastapi import FastAPI

from tests.support.programs.matrix.fooocus import fooocus_page
from tests.support.programs.matrix.pages import PAGES, PASSWORD, USER
from tests.support.programs.matrix.painting import log
from tests.support.programs.matrix.web_ui import automatic1111_page, forge_page

MAJOR_VERSION = int(gr.__version__.split(".")[0])
STAND_IN_CONCURRENCY = 64
# The stand-in at this path mounts slowly: each of its scripts takes this long.
SLOW = "slowly"
SLOW_SCRIPT_S = 0.8
STAND_INS: dict[str, Callable[[Callable[..., None]], gr.Blocks]] = {
    3: {"automatic1111": automatic1111_page, SLOW: automatic1111_page, "fooocus": lambda _: fooocus_page()},
    4: {"forge": forge_page},
}.get(MAJOR_VERSION, {})


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
        if name == SLOW and scope["path"].endswith(".js"):
            await asyncio.sleep(SLOW_SCRIPT_S)
        if prefix := dict(scope["headers"]).get(b"x-forwarded-prefix", b"").decode():
            path = prefix + scope["path"]
            scope = {**scope, "root_path": prefix, "path": path, "raw_path": path.encode()}
        await app(scope, receive, send)

    async def _find_app(self, name: str) -> FastAPI:
        if name not in PAGES and name not in STAND_INS:
            return self._base
        if name not in self._apps:
            app = FastAPI()
            page = _build_page(
                name, lambda path, *args, **options: app.add_api_route(f"/{name}/{path}", *args, **options)
            )
            self._apps[name] = _mount(app, page, f"/{name}")
            await self._running.enter_async_context(app.router.lifespan_context(app))
        return self._apps[name]


def _build_page(name: str, add_route: Callable[..., None]) -> gr.Blocks:
    page = STAND_INS[name](add_route) if name in STAND_INS else PAGES[name]()
    if name == "login":
        page.auth = [(USER, PASSWORD)]
        page.auth_message = None
    # Version 3 has no queue, and no generators, unless it is asked for one.
    if name == "crowded":
        page.queue(max_size=1)
    elif name in STAND_INS:
        page.queue(**{"concurrency_count" if MAJOR_VERSION == 3 else "default_concurrency_limit": STAND_IN_CONCURRENCY})
    elif MAJOR_VERSION == 3:
        page.queue()
    return page


def _mount(app: FastAPI, page: gr.Blocks, path: str) -> FastAPI:
    # Without show_error, a page shows the word "Error" for exceptions that are not gr.Error, as with launch().
    if MAJOR_VERSION == 3:
        page.show_error = False
        return gr.mount_gradio_app(app, page, path=path)
    return gr.mount_gradio_app(app, page, path=path, auth=page.auth, show_error=False)


def main() -> None:
    """Obey the commands."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    child = 0
    try:
        for line in sys.stdin:
            command, *arguments = line.split()
            if command == "start":
                child = os.fork()
                if not child:
                    _serve(int(arguments[0]))
            elif command == "kill":
                _kill(child)
                child = 0
    finally:
        if child:
            _kill(child)


def _serve(port: int) -> None:
    os.close(0)
    try:
        uvicorn.run(Programs(), host="127.0.0.1", port=port, log_level="warning")
    finally:
        os._exit(0)


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
