"""Owns the model library's state: what lies on disk, what is said of it, what people have written. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.clock import Clock
from stores.library.backups import Backups
from stores.library.edits import Edits
from stores.library.hashing import Hashing
from stores.library.listing import Listing
from stores.library.pictures import Pictures
from stores.library.recording import Recording
from stores.library.shelf import Shelf
from stores.library.upkeep import Upkeep


@dataclass(frozen=True, slots=True)
class Library:
    """The library in one database, by what is done with it."""

    recording: Recording
    hashing: Hashing
    listing: Listing
    shelf: Shelf
    edits: Edits
    pictures: Pictures
    upkeep: Upkeep
    backups: Backups

    @classmethod
    def of(cls, engine: Engine, clock: Clock) -> Self:
        """All of them on one engine."""
        return cls(
            recording=Recording(engine, clock),
            hashing=Hashing(engine, clock),
            listing=Listing(engine),
            shelf=Shelf(engine),
            edits=Edits(engine, clock),
            pictures=Pictures(engine, clock),
            upkeep=Upkeep(engine, clock),
            backups=Backups(engine, clock),
        )
