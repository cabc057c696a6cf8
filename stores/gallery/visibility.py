"""In which lists of all collections a token appears: what its collection's status and explicit flag mean for it."""

from enum import IntEnum
from typing import Self

from schemas.gallery.collections import CollectionStatus


class Visibility(IntEnum):
    """The column ``visibility`` of tokens."""

    UNLISTED = 0
    PLAIN = 1
    EXPLICIT = 2

    @classmethod
    def of_collection(cls, status: str, *, explicit: bool) -> Self:
        """Return the visibility of the tokens of a collection."""
        if status != CollectionStatus.ACTIVE:
            return cls(cls.UNLISTED)
        return cls(cls.EXPLICIT if explicit else cls.PLAIN)
