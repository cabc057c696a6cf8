"""A reverse proxy that serves a program below a path, as ``location /PREFIX/ { proxy_pass …; }`` of nginx does."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

from aiohttp import ClientSession, DummyCookieJar, WSMsgType, web

DROPPED_HEADERS = {"host", "connection", "upgrade", "transfer-encoding", "content-length", "content-encoding"}


@contextmanager
def serve_below(target: str, prefix: str) -> Iterator[str]:
    """Serve the program at ``target`` below ``prefix``; yields the URL without the prefix."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_start(target, prefix), loop).result(60)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _start(target: str, prefix: str) -> web.AppRunner:
    app = web.Application()
    session = ClientSession(cookie_jar=DummyCookieJar(), auto_decompress=False)

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED_HEADERS}
        headers |= {"Host": request.host, "X-Forwarded-Prefix": prefix}
        url = target + str(request.rel_url).removeprefix(prefix)
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await _forward_websocket(session, request, url, headers)
        async with session.request(
            request.method, url, headers=headers, data=await request.read(), allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in DROPPED_HEADERS]
            encoding = answer.headers.get("Content-Encoding")
            response = web.StreamResponse(status=answer.status, headers=kept)
            if encoding:
                response.headers["Content-Encoding"] = encoding
            await response.prepare(request)
            async for part in answer.content.iter_any():
                await response.write(part)
            return response

    async def close(_app: web.Application) -> None:
        await session.close()

    app.router.add_route("*", f"{prefix}/{{path:.*}}", forward)
    app.on_cleanup.append(close)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def _forward_websocket(
    session: ClientSession, request: web.Request, url: str, headers: dict[str, str]
) -> web.WebSocketResponse:
    browser = web.WebSocketResponse()
    await browser.prepare(request)
    sent = {name: value for name, value in headers.items() if not name.lower().startswith("sec-websocket")}
    async with session.ws_connect(url, headers=sent) as program:

        async def copy_answers() -> None:
            async for message in program:
                if message.type == WSMsgType.TEXT:
                    await browser.send_str(message.data)
            await browser.close()

        copying = asyncio.ensure_future(copy_answers())
        async for message in browser:
            if message.type == WSMsgType.TEXT:
                await program.send_str(message.data)
        copying.cancel()
        with suppress(asyncio.CancelledError):
            await copying
    return browser
