"""The names of the hashes that people know model files by, and what may be believed to be one. Pure."""

import re
from collections.abc import Mapping
from typing import Any

SHA256, AUTOV1, AUTOV2, AUTOV3, CRC32, BLAKE3 = "SHA256", "AutoV1", "AutoV2", "AutoV3", "CRC32", "BLAKE3"
# How many hexadecimal digits each has.
HEX_LENGTHS: Mapping[str, int] = {SHA256: 64, AUTOV1: 8, AUTOV2: 10, AUTOV3: 12, CRC32: 8, BLAKE3: 64}
_KNOWN = {name.lower(): name for name in HEX_LENGTHS}
_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.ASCII)
_OF_NOTHING = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# What each says of no bytes at all: written by programs that hashed nothing, and shared by all their files.
_EMPTY: Mapping[str, str] = {
    **{name: _OF_NOTHING[: HEX_LENGTHS[name]] for name in (SHA256, AUTOV1, AUTOV2, AUTOV3)},
    CRC32: "00000000",
    BLAKE3: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}


def normalize_hash(name: str, text: Any) -> str | None:
    """``text`` as the hash of that name: lower-case hex of its length; None if it is none, or that of no bytes.

    An AutoV3 may be given whole, with 64 digits, as trainers write it; it is cut to its twelve.
    """
    known = _KNOWN.get(name.lower())
    found = _HEX.fullmatch(text.strip().lower()) if known and isinstance(text, str) else None
    if not known or not found:
        return None
    digits = found[1][: HEX_LENGTHS[AUTOV3]] if known == AUTOV3 and len(found[1]) == HEX_LENGTHS[SHA256] else found[1]
    return digits if len(digits) == HEX_LENGTHS[known] and digits != _EMPTY[known] else None


def normalize_hashes(claimed: Mapping[str, Any]) -> dict[str, str]:
    """Those of ``claimed`` that are hashes, under their names as they are spelled here."""
    found = (
        (_KNOWN[name.lower()], normalize_hash(name, text)) for name, text in claimed.items() if name.lower() in _KNOWN
    )
    return {name: digits for name, digits in found if digits}


def autov2_from_sha256(sha256: str) -> str:
    """The short form of a SHA-256 that catalogues and pictures use."""
    return sha256[: HEX_LENGTHS[AUTOV2]].lower()
