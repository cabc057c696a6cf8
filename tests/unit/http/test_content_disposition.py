"""Content-Disposition headers for arbitrary file names."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.http.content_disposition import attachment_header

# The expression by which a client of the API reads the header.
SIMPLE_CLIENT = re.compile(r'filename="?([^";\n]+)"?')
SHAPE = re.compile(r"""attachment; filename="([ -~]+)"; filename\*=UTF-8''([A-Za-z0-9!#$&+.^_`|~%-]+)""")


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("style.safetensors", "style.safetensors", "style.safetensors"),
        ("my style (v2) [x].safetensors", "my style (v2) [x].safetensors", "my style (v2) [x].safetensors"),
        ("Ünïcödé.safetensors", "Unicode.safetensors", "Ünïcödé.safetensors"),
        ("絵画.safetensors", "__.safetensors", "絵画.safetensors"),
        ('a"b\\c.safetensors', "a_b_c.safetensors", "a_b_c.safetensors"),
        ("a;b=50%25.gguf", "a_b=50_25.gguf", "a;b=50%25.gguf"),
        ("a\r\nSet-Cookie: x=1.gguf", "aSet-Cookie_ x=1.gguf", "aSet-Cookie_ x=1.gguf"),
        ("a\x00\x1b[2J\x7f\x85b.gguf", "a[2Jb.gguf", "a[2Jb.gguf"),
        ("evil\u202egnp.exe", "evilgnp.exe", "evilgnp.exe"),
        ("a\u2066\u200f\u200b\ufeff\u2028b.gguf", "ab.gguf", "ab.gguf"),
        ("../../etc/passwd", "_.._etc_passwd", "_.._etc_passwd"),
        ("C:\\x.gguf", "C__x.gguf", "C__x.gguf"),
        (".bashrc", "bashrc", "bashrc"),
        ("", "model", "model"),
        ("..", "model", "model"),
        ("\u0300", "model", "\u0300"),
        ("\n\u202e", "model", "model"),
        (b"na\xefve.safetensors", "na_ve.safetensors", "na\ufffdve.safetensors"),
        (b"\xff\xfe", "__", "\ufffd\ufffd"),
        ("caf\udce9.gguf", "caf_.gguf", "caf_.gguf"),
        ("\ud800x.gguf", "_x.gguf", "_x.gguf"),
        ("x" * 5000 + ".safetensors", "x" * 200 + ".safetensors", "x" * 200 + ".safetensors"),
    ],
)
def test_a_name_is_sent_in_ascii_and_in_full(name: str | bytes, plain: str, full: str) -> None:
    """Neither has characters that could end the header, hide text or form a path."""
    match = SHAPE.fullmatch(attachment_header(name))

    assert match
    assert (match[1], unquote(match[2])) == (plain, full)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_every_name_yields_a_valid_header(name: str | bytes) -> None:
    """It is one line of one form, and a simple client reads the same name."""
    value = attachment_header(name)
    match = SHAPE.fullmatch(value)
    simple = SIMPLE_CLIENT.search(value)

    assert match
    assert simple
    assert simple[1] == match[1]
    assert not [char for char in unquote(match[2]) if unicodedata.category(char).startswith("C") or char in '/\\"']
