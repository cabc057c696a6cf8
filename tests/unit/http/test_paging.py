"""Pagination cursors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import Invalid
from schemas.paging import Cursor

FORGED = [Cursor(time_ms, id_).encode() for time_ms, id_ in ((2**63, "x"), (-1, "x"), (10**400, "x"), (5, "\x00"))]


@given(st.integers(0, 2**52), st.text("0123456789abcdef", min_size=32, max_size=32))
def test_a_cursor_round_trips(time_ms: int, job_id: str) -> None:
    """Decoding returns what was encoded."""
    assert Cursor(time_ms, job_id) == Cursor.decode(Cursor(time_ms, job_id).encode())


@pytest.mark.parametrize("token", ["", "!", "x", "bm90aGluZw", "ÄÖÜ", "A" * 5000, *FORGED])
def test_a_malformed_cursor_is_rejected(token: str) -> None:
    """The error is the client's and names the cursor."""
    with pytest.raises(Invalid, match="cursor"):
        Cursor.decode(token)
