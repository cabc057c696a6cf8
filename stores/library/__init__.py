"""The model library's state: what lies on disk, what is said of it, what people have written. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.infra.clock import Clock
from stores.library.backup import Backups
from stores.library.images import Pictures
from stores.library.index.file_hashes import Hashing
from stores.library.index.scan_writer import Recording
from stores.library.maintenance import Upkeep
from stores.library.models import Shelf
from stores.library.search import Listing
from stores.library.user_edits import Edits


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
