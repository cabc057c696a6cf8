"""Cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Invalid
from schemas.paging import Cursor

MADE_UP = [Cursor(time_ms, ident).encode() for time_ms, ident in ((2**63, "x"), (-1, "x"), (10**400, "x"), (5, "\x00"))]


@given(st.integers(0, 2**52), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_cursor_survives_its_url(time_ms: int, ident: str) -> None:
    """What was encoded is decoded again."""
    assert Cursor(time_ms, ident) == Cursor.decode(Cursor(time_ms, ident).encode())


@pytest.mark.parametrize("word", ["", "!", "x", "bm90aGluZw", "ÄÖÜ", "A" * 5000, *MADE_UP])
def test_a_foreign_cursor_is_invalid(word: str) -> None:
    """A made-up cursor is the client's fault and nothing worse."""
    with pytest.raises(Invalid, match="cursor"):
        Cursor.decode(word)
