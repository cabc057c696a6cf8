"""How a file's name is told: whatever it is, as one header that every client can read."""

import re
import unicodedata
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.http.content_disposition import attachment_header

# As a public client of the original reads it.
SIMPLE = re.compile(r'filename="?([^";\n]+)"?')
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
def test_a_name_is_told_in_ascii_first_and_then_in_full(name: str | bytes, plain: str, full: str) -> None:
    """Both without anything that could end the header, hide, or lead elsewhere."""
    found = SHAPE.fullmatch(attachment_header(name))

    assert found
    assert (found[1], unquote(found[2])) == (plain, full)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.binary(max_size=60))
def test_every_name_makes_a_header(name: str | bytes) -> None:
    """Of one line and of one shape, in which a simple client finds the same name."""
    value = attachment_header(name)
    found = SHAPE.fullmatch(value)
    simple = SIMPLE.search(value)

    assert found
    assert simple
    assert simple[1] == found[1]
    assert not [one for one in unquote(found[2]) if unicodedata.category(one).startswith("C") or one in '/\\"']
