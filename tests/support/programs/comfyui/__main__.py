"""Serves frontends of ComfyUI: ``python -m tests.support.programs.comfyui VERSION=PORT …``."""

import asyncio
import sys

from aiohttp import web

from tests.support.programs.comfyui.routes import create_app
from tests.support.programs.environments import unpack_packages


async def serve(ports: dict[str, int]) -> None:
    """Serve each version on its port until the process ends."""
    for version, port in ports.items():
        folder = unpack_packages(f"comfyui-{version}") / "comfyui_frontend_package" / "static"
        runner = web.AppRunner(create_app(folder), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve({version: int(port) for version, port in (pair.split("=") for pair in sys.argv[1:])}))
