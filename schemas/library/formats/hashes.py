"""The hash algorithms that identify model files, and the validation of claimed hashes."""

import re
from collections.abc import Mapping
from typing import Any

SHA256, AUTOV1, AUTOV2, AUTOV3, CRC32, BLAKE3 = "SHA256", "AutoV1", "AutoV2", "AutoV3", "CRC32", "BLAKE3"
# The number of hex digits of each.
HEX_LENGTHS: Mapping[str, int] = {SHA256: 64, AUTOV1: 8, AUTOV2: 10, AUTOV3: 12, CRC32: 8, BLAKE3: 64}
_CANONICAL_NAMES = {name.lower(): name for name in HEX_LENGTHS}
_HEX = re.compile(r"(?:0x)?([0-9a-f]+)", re.ASCII)
# Some programs hash nothing and write the hash of no bytes, which all their files would then share.
EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_EMPTY_HASHES: Mapping[str, str] = {
    **{name: EMPTY_SHA256[: HEX_LENGTHS[name]] for name in (SHA256, AUTOV1, AUTOV2, AUTOV3)},
    CRC32: "00000000",
    BLAKE3: "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
}


def normalize_hash(name: str, text: Any) -> str | None:
    """Return a claimed hash as lower-case hex of the algorithm's length; None if invalid, or the hash of no bytes.

    An AutoV3 may have all 64 digits, as trainers write it; it is cut to 12.
    """
    algorithm = _CANONICAL_NAMES.get(name.lower())
    match = _HEX.fullmatch(text.strip().lower()) if algorithm and isinstance(text, str) else None
    if not algorithm or not match:
        return None
    digits = match[1]
    if algorithm == AUTOV3 and len(digits) == HEX_LENGTHS[SHA256]:
        digits = digits[: HEX_LENGTHS[AUTOV3]]
    return digits if len(digits) == HEX_LENGTHS[algorithm] and digits != _EMPTY_HASHES[algorithm] else None


def normalize_hashes(claimed: Mapping[str, Any]) -> dict[str, str]:
    """Return the valid hashes among ``claimed``, under the canonical names of their algorithms."""
    algorithms = ((_CANONICAL_NAMES.get(name.lower()), text) for name, text in claimed.items())
    hashes = ((name, normalize_hash(name, text)) for name, text in algorithms if name)
    return {name: digits for name, digits in hashes if digits}


def is_hash_of_nothing(digits: str) -> bool:
    """Whether lower-case hex digits are the SHA-256 of no bytes, or its beginning."""
    return EMPTY_SHA256.startswith(digits)


def autov2_from_sha256(sha256: str) -> str:
    """Return AutoV2, the short form of a SHA-256 that images and Civitai use."""
    return sha256[: HEX_LENGTHS[AUTOV2]].lower()
