"""Webhook receivers that answer in every way that docs/webhooks.md promises to bear, each on a port of its own.

``run_hostile_receivers`` starts them in a process of their own, because those that flood would compete with the
caller's event loop. A flood ends when the client closes the connection.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from ops.infra.settings import ROOT

FLOOD_BYTES = 64 * 1024
DRIP_INTERVAL_S = 0.2
# Longer than any timeout of the client.
HANG_S = 60.0
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
# Sent first by a server that accepts a TLS handshake: a record with a ServerHello, of which nothing follows.
TLS_RECORD_HEAD = b"\x16\x03\x03\x40\x00"

Behavior = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _repeat(unit: bytes) -> bytes:
    return unit * (FLOOD_BYTES // len(unit) + 1)


async def _read_request(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
    await reader.readexactly(length)


async def _flood(start: bytes, unit: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send ``start``, and then ``unit`` as often and as fast as the client takes it."""
    await _read_request(reader)
    writer.write(start)
    block = _repeat(unit)
    while True:
        writer.write(block)
        await writer.drain()


async def _drip(start: bytes, unit: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send ``start``, and then ``unit`` a few times a second."""
    await _read_request(reader)
    writer.write(start)
    while True:
        writer.write(unit)
        await writer.drain()
        await asyncio.sleep(DRIP_INTERVAL_S)


async def _answer(answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send ``answer`` and keep the connection open."""
    await _read_request(reader)
    writer.write(answer)
    await writer.drain()
    await asyncio.sleep(HANG_S)


async def _close(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def _half_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _read_request(reader)
    writer.write(OK)
    writer.write_eof()
    await asyncio.sleep(HANG_S)


async def _redirect_to_itself(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await _read_request(reader)
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()


async def _talk_before_the_request(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    block = _repeat(b"HTTP/1.1 100 Continue\r\n\r\n")
    while True:
        writer.write(block)
        await writer.drain()


async def _flood_without_reading(
    unit: bytes, start: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(start)
    block = _repeat(unit)
    while True:
        writer.write(block)
        await writer.drain()


async def _drip_without_reading(
    unit: bytes, start: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(start)
    while True:
        writer.write(unit)
        await writer.drain()
        await asyncio.sleep(DRIP_INTERVAL_S)


async def _hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(HANG_S)


def _compressed_bomb() -> bytes:
    compressor = zlib.compressobj(9, wbits=31)
    body = b"".join(compressor.compress(bytes(1024 * 1024)) for _ in range(64)) + compressor.flush()
    return OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body


HTTP_RECEIVERS: Mapping[str, Behavior] = {
    "says_nothing": _hang,
    "closes_without_an_answer": _close,
    "resets_the_connection": _reset,
    "half_closes_within_the_head": _half_close,
    "sends_junk": partial(_flood, b"", b"\x00\xffjunk"),
    "speaks_before_the_request": _talk_before_the_request,
    "slow_status": partial(_drip, b"HTTP/1.1 200 ", b"O"),
    "endless_status_line": partial(_flood, b"HTTP/1.1 200 ", b"O"),
    "endless_blank_lines": partial(_flood, b"", b"\r\n"),
    "endless_header": partial(_flood, OK + b"X: ", b"x"),
    "endless_headers": partial(_flood, OK, b"X-Header: value\r\n"),
    "slow_headers": partial(_drip, OK, b"X-Header: value\r\n"),
    "endless_continue": partial(_flood, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless_early_hints": partial(_flood, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"),
    "slow_processing": partial(_drip, b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "switches_protocols": partial(
        _flood, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", b"x"
    ),
    "endless_body": partial(_flood, OK + b"Content-Length: 1000000000000\r\n\r\n", b"x"),
    "endless_body_without_length": partial(_flood, OK + b"\r\n", b"x"),
    "slow_body": partial(_drip, OK + b"Content-Length: 1000\r\n\r\n", b"x"),
    "body_that_stops": partial(_answer, OK + b"Content-Length: 1000\r\n\r\nthe beginning"),
    "endless_chunks_of_one_byte": partial(_flood, CHUNKED, b"1\r\nx\r\n"),
    "endless_chunk_extension": partial(_flood, CHUNKED + b"1;", b"x"),
    "endless_chunk_size": partial(_flood, CHUNKED, b"0"),
    "endless_trailers": partial(_flood, CHUNKED + b"0\r\n", b"X-Trailer: value\r\n"),
    "compressed_bomb": partial(_answer, _compressed_bomb()),
    "redirects_to_itself": _redirect_to_itself,
    "endless_responses": partial(_flood, b"", b"HTTP/1.1 204 No Content\r\n\r\n"),
}
TLS_RECEIVERS: Mapping[str, Behavior] = {
    "tls_silence": _hang,
    "tls_slow_handshake": partial(_drip_without_reading, b"\x02", TLS_RECORD_HEAD),
    "tls_junk": partial(_flood_without_reading, b"\x00\xffjunk", b""),
}


@contextmanager
def run_hostile_receivers(*names: str) -> Iterator[dict[str, str]]:
    """Run the receivers with these names, by default all of them; yield their URLs by name."""
    command = [sys.executable, "-m", "ops.testbed.hostile_receivers", *names]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("The process has no standard output.")
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


async def _serve(names: list[str]) -> None:
    urls = {}
    for scheme, receivers in (("http", HTTP_RECEIVERS), ("https", TLS_RECEIVERS)):
        for name, behave in receivers.items():
            if not names or name in names:
                server = await asyncio.start_server(partial(_serve_connection, behave), "127.0.0.1", 0, backlog=256)
                urls[name] = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/{name}"
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _serve_connection(behave: Behavior, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await behave(reader, writer)
    writer.close()


if __name__ == "__main__":
    _parser = argparse.ArgumentParser(description=__doc__)
    _parser.add_argument("names", nargs="*")
    asyncio.run(_serve(_parser.parse_args().names))
