"""Validation of claimed hashes."""

import hashlib
import zlib

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from schemas.library.formats import hashes

REAL = hashlib.sha256(b"a model").hexdigest()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("SHA256", REAL.upper(), REAL),
        ("sha256", f" 0x{REAL} ", REAL),
        ("AutoV1", "0F2E3571", "0f2e3571"),
        ("AutoV2", "6F6D687FE0", "6f6d687fe0"),
        ("AutoV3", "DC746A5A4DA9", "dc746a5a4da9"),
        ("AutoV3", REAL, REAL[:12]),
        ("CRC32", "4DF210A6", "4df210a6"),
        ("BLAKE3", REAL, REAL),
        ("SHA256", REAL[:63], None),
        ("SHA256", REAL + "0", None),
        ("AutoV2", REAL, None),
        ("AutoV3", "<img src=x>", None),
        ("AutoV1", "0F2E357G", None),
        ("AutoV1", "\u0660" * 8, None),
        ("AutoV1", 12345678, None),
        ("AutoV1", None, None),
        ("MD5", "0" * 32, None),
    ],
)
def test_valid_hashes_are_normalized(name: str, text: object, expected: str | None) -> None:
    """The result is lower-case hex of the algorithm's length; an invalid hash gives None."""
    assert hashes.normalize_hash(name, text) == expected


def test_the_hash_of_no_bytes_is_invalid() -> None:
    """All files without a hash would share it."""
    of_nothing = hashlib.sha256(b"").hexdigest()
    claimed = {name: of_nothing[:digits] for name, digits in hashes.HEX_LENGTHS.items()} | {
        "CRC32": f"{zlib.crc32(b''):08x}",
        "BLAKE3": blake3(b"").hexdigest(),
    }
    assert set(claimed) == set(hashes.HEX_LENGTHS)
    assert hashes.normalize_hashes(claimed) == {}
    assert hashes.normalize_hash("AutoV3", of_nothing) is None


def test_valid_claims_are_kept() -> None:
    """They get the canonical names of their algorithms."""
    assert hashes.normalize_hashes({"autov2": "6F6D687FE0", "SHA256": "no", "x": REAL}) == {"AutoV2": "6f6d687fe0"}


def test_autov2_is_the_beginning_of_sha256() -> None:
    """It is in lower case."""
    assert hashes.normalize_hash("AutoV2", hashes.autov2_from_sha256(REAL.upper())) == REAL[:10]


@given(st.sampled_from(sorted(hashes.HEX_LENGTHS)), st.text(max_size=80) | st.none() | st.integers())
def test_normalizing_is_idempotent(name: str, text: object) -> None:
    """This holds for any input."""
    found = hashes.normalize_hash(name, text)
    assert found is None or (len(found) == hashes.HEX_LENGTHS[name] and hashes.normalize_hash(name, found) == found)
