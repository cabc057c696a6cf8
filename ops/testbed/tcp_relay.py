"""A TCP relay in front of a server on a Unix socket: inspects what clients send, cuts connections, or adds TLS."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

CHUNK_BYTES = 65_536
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
Inspector = Callable[[bytes], bool]


class TcpRelay:
    """A relay on a free port of the loopback interface; its event loop runs in a thread."""

    def __init__(self, socket: Path, *, inspect: Inspector | None = None, tls: ssl.SSLContext | None = None) -> None:
        """``inspect`` is called in the relay's thread with all client bytes; True cuts the connection before them."""
        self._socket = socket
        self.inspect = inspect
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._server: asyncio.Server
        self.port = 0

    def start(self) -> None:
        """Start listening; ``port`` is known afterwards."""
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop listening and cut every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        self._loop.close()

    def drop_connections(self) -> None:
        """Cut every current connection; clients may reconnect at once."""
        asyncio.run_coroutine_threadsafe(self._abort_all(), self._loop).result(STOP_TIMEOUT_S)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._handle_client, "127.0.0.1", 0, ssl=self._tls)
        return int(self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        self._server.close()
        writers = tuple(self._writers)
        await self._abort_all()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)

    async def _abort_all(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _handle_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = {writer}
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(str(self._socket))
            writers.add(server_writer)
            self._writers |= writers
            requests = asyncio.create_task(self._forward_inspected(reader, server_writer))
            await _forward(server_reader, writer)
            requests.cancel()
        except OSError:
            # The server is down; the client sees its connection close.
            pass
        finally:
            self._writers -= writers
            # A task that is cancelled before its first step closes nothing itself.
            for open_writer in writers:
                open_writer.transport.abort()
        await asyncio.gather(*(open_writer.wait_closed() for open_writer in writers), return_exceptions=True)

    async def _forward_inspected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # ``inspect`` may be replaced while the connection is open.
        await _forward(reader, writer, lambda data: bool(self.inspect and self.inspect(data)))


async def _forward(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: Inspector = lambda _data: False
) -> None:
    with contextlib.suppress(OSError, asyncio.CancelledError):
        while data := await reader.read(CHUNK_BYTES):
            if cut(data):
                break
            writer.write(data)
            await writer.drain()
    writer.close()
