"""The levels of what is not for everybody: a mask of bits, as the catalogue has them, and who may see what. Pure.

A picture has one bit; a version and a model have those of all their pictures; 0 is unrated. An upload may say:

===========  ========  ==========================
upload says  is kept   as
===========  ========  ==========================
0            0         unrated
1            1         PG
2            2         PG13
3            4         R: the third level, no mask
4            4         R
8            8         X
16           16        XXX
32           32        Blocked
===========  ========  ==========================
"""

from collections.abc import Mapping
from enum import IntEnum


class NsfwLevel(IntEnum):
    """One level: a bit of the mask."""

    PG = 1
    PG13 = 2
    R = 4
    X = 8
    XXX = 16
    BLOCKED = 32


ALL_LEVELS = 63
LEVEL_BY_UPLOAD: Mapping[int, int] = {0: 0, 3: NsfwLevel.R} | {level: level for level in NsfwLevel}
# The levels' names, and the words of the catalogue's old answers.
LEVEL_BY_NAME: Mapping[str, NsfwLevel] = {level.name.lower(): level for level in NsfwLevel} | {
    "none": NsfwLevel.PG,
    "soft": NsfwLevel.PG13,
    "mature": NsfwLevel.R,
}


def level_from_name(word: str) -> int:
    """The level of that name, new or old; 0 if nobody knows it."""
    return int(LEVEL_BY_NAME.get(word.strip().lower(), 0))


def level_from_upload(said: int) -> int | None:
    """The level that an upload means, by the table above; None if it means none."""
    level = LEVEL_BY_UPLOAD.get(said)
    return None if level is None else int(level)


def highest_level(mask: int) -> int:
    """The highest level of a mask, as its bit; 0 if it has none."""
    known = mask & ALL_LEVELS
    return 1 << (known.bit_length() - 1) if known else 0


def allowed(mask: int, most: int) -> bool:
    """Whether something of this mask may be shown to who wants to see at most ``most``; with 0 only what is unrated."""
    return highest_level(mask) <= highest_level(most)
