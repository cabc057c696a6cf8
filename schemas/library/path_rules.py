"""Reads epoch and title from the name of a model file."""

import re

from schemas.library.sanitize import clean_line
from schemas.library.sidecars.local_file import CIVITDL_STEM

# Six digits are an epoch only with leading zeros; otherwise they are a date.
_EPOCH = re.compile(r"(.*[^-_ ])(?:-e|[-_]epoch[-_]?)(\d{1,6})|(.*[^-_ ])-(00\d{4})", re.ASCII | re.IGNORECASE)


def parse_epoch(stem: str) -> tuple[str, int] | None:
    """Return the training's name and the epoch from a file's stem; None if it names no epoch.

    Trainers write ``name-000010``, people ``name-e10`` and ``name_epoch_10``.
    """
    match = _EPOCH.fullmatch(stem)
    return (match[1] or match[3], int(match[2] or match[4])) if match else None


def title_from_stem(stem: str) -> str:
    """Return a readable title for a file's stem: without civitdl's ids, with spaces for underscores."""
    match = CIVITDL_STEM.fullmatch(stem)
    return clean_line((match[1] if match else stem).replace("_", " ")) or stem
