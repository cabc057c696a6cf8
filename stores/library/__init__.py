"""The model library: model files, their metadata from all sources, user edits and images. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.infra.clock import Clock
from stores.library.backup import Backups
from stores.library.images import ModelImages
from stores.library.index.file_hashes import HashIndex
from stores.library.index.roots import LibraryRoots
from stores.library.index.scan_writer import ScanWriter
from stores.library.maintenance import LibraryMaintenance
from stores.library.models import Models
from stores.library.search import ModelSearch
from stores.library.user_edits import UserEdits
from stores.sql.database import Database


@dataclass(frozen=True, slots=True)
class Library:
    """The stores of the library in one database."""

    scan_writer: ScanWriter
    roots: LibraryRoots
    file_hashes: HashIndex
    search: ModelSearch
    models: Models
    user_edits: UserEdits
    images: ModelImages
    maintenance: LibraryMaintenance
    backups: Backups

    @classmethod
    def from_engine(cls, engine: Engine, clock: Clock) -> Self:
        """Create all stores on one engine."""
        database = Database(engine)
        scan_writer = ScanWriter(database, clock)
        return cls(
            scan_writer=scan_writer,
            roots=LibraryRoots(database, scan_writer),
            file_hashes=HashIndex(database, clock),
            search=ModelSearch(database),
            models=Models(database),
            user_edits=UserEdits(database, clock),
            images=ModelImages(database, clock),
            maintenance=LibraryMaintenance(database),
            backups=Backups(database, clock),
        )
