"""NSFW levels as Civitai's bitmask.

An image has one bit, a version and a model the bits of all their images; 0 is unrated. Uploads name a level as follows:

============  =========  ==========================
upload value  stored as  meaning
============  =========  ==========================
0             0          unrated
1             1          PG
2             2          PG13
3             4          R: the third level, no mask
4             4          R
8             8          X
16            16         XXX
32            32         Blocked
============  =========  ==========================
"""

from collections.abc import Mapping
from enum import IntEnum


class NsfwLevel(IntEnum):
    """A level: one bit of the mask."""

    PG = 1
    PG13 = 2
    R = 4
    X = 8
    XXX = 16
    BLOCKED = 32


ALL_LEVELS = 63
LEVEL_BY_UPLOAD: Mapping[int, int] = {0: 0, 3: NsfwLevel.R} | {level: level for level in NsfwLevel}
# The names of the levels, and the names in Civitai's older responses.
LEVEL_BY_NAME: Mapping[str, NsfwLevel] = {level.name.lower(): level for level in NsfwLevel} | {
    "none": NsfwLevel.PG,
    "soft": NsfwLevel.PG13,
    "mature": NsfwLevel.R,
}


def level_from_name(name: str) -> int:
    """Return the level of that name; 0 if it is unknown."""
    return int(LEVEL_BY_NAME.get(name.strip().lower(), 0))


def level_from_upload(value: int) -> int | None:
    """Return the level for an upload's value, by the table above; None if the value is invalid."""
    level = LEVEL_BY_UPLOAD.get(value)
    return None if level is None else int(level)


def highest_level(mask: int) -> int:
    """Return the highest level of a mask, as its bit; 0 if it is unrated."""
    known = mask & ALL_LEVELS
    return 1 << (known.bit_length() - 1) if known else 0
