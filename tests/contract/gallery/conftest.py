"""The gallery on SQLite and on PostgreSQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from schemas.errors import ServiceError
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.tokens import NewToken, Token
from stores.gallery import Gallery
from tests.conftest import FakeClock

ALICE, BOB = "owner", "b" * 16
T = TypeVar("T")


@pytest.fixture
def gallery(engine: Engine, clock: FakeClock) -> Gallery:
    """An empty gallery."""
    return Gallery.from_engine(engine, clock)


@pytest.fixture
def collection(gallery: Gallery) -> Collection:
    """A collection of ALICE."""
    return gallery.collections.create(ALICE, NewCollection("Night trains"))


def add_tokens(gallery: Gallery, collection: Collection, *names: str) -> list[Token]:
    """Create tokens of these names in a collection of ALICE."""
    return [
        gallery.tokens.create(ALICE, collection, gallery.tokens.reserve_id(ALICE), NewToken(name)) for name in names
    ]


def run_at_once(count: int, action: Callable[[int], T]) -> list[T | ServiceError]:
    """Run an action in threads; its results or errors, in the order of the numbers."""

    def run(number: int) -> T | ServiceError:
        try:
            return action(number)
        except ServiceError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
