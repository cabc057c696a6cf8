"""Limits and error codes of the reader for untrusted JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.format_error import FormatError
from schemas.untrusted_json import JsonReader, is_deeper_than


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, 2.5, "x", null, true]}', {"a": [1, 2.5, "x", None, True]}),
        ("[NaN, Infinity, -Infinity, 1e999]", [None] * 4),
        ('{"a": 1, "a": 2}', {"a": 2}),
        (" 1 ", 1),
    ],
)
def test_json_is_parsed(text: str, expected: Any) -> None:
    """NaN, infinities and overflowing numbers become null."""
    assert JsonReader().parse(text) == expected


@pytest.mark.parametrize(
    ("options", "text", "code"),
    [
        ({}, "", "not_json"),
        ({}, "{", "not_json"),
        ({}, "9" * 5000, "not_json"),
        ({}, '"a\nb"', "not_json"),
        ({}, "[" * 101 + "]" * 101, "too_deep"),
        ({}, "[" * 100_000, "too_deep"),
        ({"max_depth": 1}, "[[]]", "too_deep"),
        ({"max_chars": 3}, "1234", "too_large"),
        ({"max_containers": 1}, "[[]]", "too_large"),
        ({"unique_keys": True}, '{"a": 1, "a": 2}', "double_key"),
        ({"reject_nan": True}, "NaN", "not_json"),
    ],
)
def test_errors_have_a_code_and_name_the_subject(options: dict[str, Any], text: str, code: str) -> None:
    """The message begins with the subject."""
    with pytest.raises(FormatError, match=r"^The sidecar ") as error:
        JsonReader("The sidecar", **options).parse(text)
    assert error.value.code == code


@pytest.mark.parametrize("depth", [1, 5, 100])
def test_depth_counts_containers(depth: int) -> None:
    """Scalars inside the innermost container do not count."""
    text = '{"a":' * depth + "1" + "}" * depth
    assert JsonReader(max_depth=depth).parse(text) is not None
    assert is_deeper_than(json.loads(text), depth - 1)


def test_the_end_of_a_value_is_found() -> None:
    """The value may be in the middle of a text; None means that there is no value."""
    assert JsonReader().find_end('x: {"a": "}"}, y', 3) == 13
    assert JsonReader().find_end("x", 0) is None


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_rejected(text: str) -> None:
    """The only exception is FormatError."""
    try:
        value = JsonReader(allow_control_characters=True).parse(text)
    except FormatError:
        return
    json.dumps(value, allow_nan=False)
