"""Downloads: headers, ranges, conditions, odd requests."""

import base64
import hashlib
import itertools
import os
from pathlib import Path

import httpx

from tests.conftest import TIMEOUT_S
from tests.integration.library.downloads.conftest import CONTENT, LARGE_BYTES, MIB, Server, read_response

SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_sent_with_its_headers(server: Server) -> None:
    """They have validators, digest, name and length, and keep browsers from opening the file."""
    stat = (server.root / "small.safetensors").stat()
    plain = server.get("small.safetensors")
    hashed = httpx.get(f"{server.url('small.safetensors')}?sha256={SHA256.upper()}", timeout=TIMEOUT_S, trust_env=False)

    assert (plain.status_code, plain.content) == (200, CONTENT)
    assert plain.headers["ETag"] == f'"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}"'
    assert "Repr-Digest" not in plain.headers
    assert hashed.headers["ETag"] == f'"sha256-{SHA256}"'
    assert hashed.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(bytes.fromhex(SHA256)).decode()}:"
    for headers in (plain.headers, hashed.headers):
        assert headers["Content-Length"] == str(len(CONTENT))
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["Last-Modified"].endswith(" GMT")
        assert headers["Cache-Control"] == "private, no-cache"
        assert headers["Content-Disposition"].startswith('attachment; filename="small.safetensors"; filename*=')


def test_head_has_the_headers_of_get(server: Server) -> None:
    """It has no body, whatever range is requested."""
    names = ("ETag", "Last-Modified", "Content-Length", "Content-Type", "Content-Disposition", "Accept-Ranges")
    whole, head = server.get("small.safetensors"), server.get("small.safetensors", "HEAD", Range="bytes=5-9")

    assert (head.status_code, head.content) == (200, b"")
    assert [whole.headers[name] for name in names] == [head.headers[name] for name in names]


def test_ranges_and_conditional_requests(server: Server) -> None:
    """Responses are 206, 416, 304 and 412; several ranges get the whole file."""
    etag = server.get("small.safetensors").headers["ETag"]
    part = server.get("small.safetensors", Range="bytes=250-259", If_Range=etag)
    known = server.get("small.safetensors", If_None_Match=etag, Range="bytes=0-1")
    beyond = server.get("small.safetensors", Range="bytes=99999999-")
    another = server.get("small.safetensors", If_Match='"another"')

    assert (part.status_code, part.content) == (206, CONTENT[250:260])
    assert (part.headers["Content-Range"], part.headers["Content-Length"]) == ("bytes 250-259/10240", "10")
    assert (known.status_code, known.content, known.headers["ETag"]) == (304, b"", etag)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */10240")
    assert beyond.json()["error"]
    assert (another.status_code, bool(another.json()["error"])) == (412, True)
    assert server.get("small.safetensors", Range="bytes=0-9", If_Range='"old"').content == CONTENT
    several = server.get("small.safetensors", Range="bytes=0-9,20-29,5-25")
    assert (several.status_code, several.content, "Content-Range" in several.headers) == (200, CONTENT, False)
    assert server.get("small.safetensors", Range="bytes=-6").content == CONTENT[-6:]


def test_an_empty_file_keeps_the_connection_open(server: Server) -> None:
    """The next request on the connection is answered."""
    with server.send_requests(
        f"GET {server.path('empty')} HTTP/1.1", f"GET {server.path('small.safetensors')} HTTP/1.1"
    ) as two:
        assert read_response(two)[1] == b""
        assert read_response(two)[1] == CONTENT
    assert server.get("empty", Range="bytes=0-").status_code == 416


def test_any_file_name_fits_into_one_header(server: Server) -> None:
    """Line ends, quotes, bidirectional controls and invalid UTF-8 are escaped."""
    for name in ("a\r\nSet-Cookie: x=1", 'q"u\\o;te', "\u202egpj.exe", "n\udce9t", "絵"):
        (server.root / name).write_bytes(b"x")
        response = server.get(name)
        assert (response.status_code, response.content) == (200, b"x")
        assert "Set-Cookie" not in response.headers
        assert response.headers["Content-Disposition"].isascii()


def test_impossible_modification_times_are_not_sent(server: Server) -> None:
    """Times before 1970 and in the future are left out."""
    path = server.root / "odd"
    path.write_bytes(b"x")
    for seconds in (-5, 2**33, 2**36):
        os.utime(path, (seconds, seconds))
        response = server.get("odd", If_Modified_Since="Sun, 06 Nov 1994 08:49:37 GMT")
        assert (response.status_code, "Last-Modified" in response.headers) == (200, False)


ODD_VALUES = (
    "", "*", "W/*", '"', '""', 'W/""', '"a", W/"b"', "," * 500, '"a' * 300, "bytes", "bytes=", "bytes=-", "bytes=--",
    "bytes=0-", "bytes=-0", "bytes=9-8", "bytes=" + "0-," * 1500, "bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000,
    "bytes=0-0,-1", "bytes=1-1;q=1", "lines=1-2", "bytes=\xff-\xfe", "=", "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 Nov 9999 23:59:59 GMT", "Sun, 00 Foo 0000 99:99:99 GMT", "Sun Nov  6 08:49:37 1994", "0", "-1", "1e9",
    "Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:60 GMT", "NaN", "\xe9" * 100, "bytes=0-1\x80",
)  # fmt: skip


HEADER_NAMES = ("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range", "If-Range")


def test_odd_headers_cause_no_server_error(server: Server) -> None:
    """Each gets a valid response with the content that it declares."""
    with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
        for name, odd in itertools.product(HEADER_NAMES, ODD_VALUES):
            sent = [(name, odd.encode("latin-1")), *([("Range", b"bytes=1-2")] if name == "If-Range" else [])]
            response = client.get(server.url("small.safetensors"), headers=sent)
            assert response.status_code in {200, 206, 304, 412, 416}, (name, odd, response.text)
            if response.status_code == 200:
                assert response.content == CONTENT
            if response.status_code == 206:
                first, last = (int(n) for n in response.headers["Content-Range"][6:].partition("/")[0].split("-"))
                assert response.content == CONTENT[first : last + 1]


def test_pipelined_requests_are_answered_in_order(server: Server, large_file: Path) -> None:
    """Responses to files, ranges and HEAD are correct byte for byte."""
    path = server.path("large.gguf")
    lines = (
        f"GET {path} HTTP/1.1",
        f"HEAD {path} HTTP/1.1",
        f"GET {path} HTTP/1.1\r\nRange: bytes=20971520-",
        f"GET {server.path('small.safetensors')} HTTP/1.0",
    )
    content = large_file.read_bytes()
    with server.send_requests(*lines) as connection:
        assert read_response(connection)[1] == content
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        assert f"Content-Length: {LARGE_BYTES}".encode() in head
        assert read_response(connection)[1] == content[20 * MIB :]
        head, body = read_response(connection)
        assert (b"Connection: close" in head, body) == (True, CONTENT)
        assert connection.recv(1) == b""
