"""The model library's state: what lies on disk, what is said of it, what people have written. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.infra.clock import Clock
from stores.library.backup import Backups
from stores.library.images import ModelImages
from stores.library.index.file_hashes import FileHashes
from stores.library.index.scan_writer import ScanWriter
from stores.library.maintenance import LibraryMaintenance
from stores.library.models import Models
from stores.library.search import ModelSearch
from stores.library.user_edits import UserEdits


@dataclass(frozen=True, slots=True)
class Library:
    """The library in one database, by what is done with it."""

    scan_writer: ScanWriter
    file_hashes: FileHashes
    search: ModelSearch
    models: Models
    user_edits: UserEdits
    images: ModelImages
    maintenance: LibraryMaintenance
    backups: Backups

    @classmethod
    def from_engine(cls, engine: Engine, clock: Clock) -> Self:
        """All of them on one engine."""
        return cls(
            scan_writer=ScanWriter(engine, clock),
            file_hashes=FileHashes(engine, clock),
            search=ModelSearch(engine),
            models=Models(engine),
            user_edits=UserEdits(engine, clock),
            images=ModelImages(engine, clock),
            maintenance=LibraryMaintenance(engine, clock),
            backups=Backups(engine, clock),
        )
