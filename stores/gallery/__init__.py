"""The gallery: profiles, collections, tokens, their assets and uploads. SQL only."""

from dataclasses import dataclass
from typing import Self

from sqlalchemy import Engine

from ops.infra.clock import Clock
from stores.gallery.profiles import Profiles


@dataclass(frozen=True, slots=True)
class Gallery:
    """The stores of the gallery in one database."""

    profiles: Profiles

    @classmethod
    def from_engine(cls, engine: Engine, clock: Clock) -> Self:
        """Create all stores on one engine."""
        return cls(profiles=Profiles(engine, clock))
