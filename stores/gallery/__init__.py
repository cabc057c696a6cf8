"""The gallery: profiles, collections, tokens, their assets and uploads. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.infra.clock import Clock
from stores.gallery.assets import Assets
from stores.gallery.collections import Collections
from stores.gallery.profiles import Profiles
from stores.gallery.tokens import Tokens
from stores.gallery.uploads import Uploads
from stores.sql.database import Database


@dataclass(frozen=True, slots=True)
class Gallery:
    """The stores of the gallery in one database."""

    profiles: Profiles
    collections: Collections
    tokens: Tokens
    assets: Assets
    uploads: Uploads

    @classmethod
    def from_engine(cls, engine: Engine, clock: Clock) -> Self:
        """Create all stores on one engine."""
        database, profiles = Database(engine), Profiles(engine, clock)
        return cls(
            profiles=profiles,
            collections=Collections(database, clock, profiles),
            tokens=Tokens(database, clock, profiles),
            assets=Assets(database, clock),
            uploads=Uploads(database, clock, profiles),
        )
