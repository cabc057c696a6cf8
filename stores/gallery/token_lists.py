"""Reading of tokens: one by one, and in lists."""

from typing import Any

from sqlalchemy import func, select

from schemas.errors import NotFound
from schemas.gallery.collections import Collection, CollectionStatus
from schemas.gallery.pages import Listed, Page
from schemas.gallery.tokens import Token
from stores.gallery.paging import Keyset
from stores.gallery.rows import select_tokens, token_from_row
from stores.gallery.tables import collections, profiles, provenance, tokens
from stores.gallery.visibility import Visibility
from stores.sql.database import Database

TOKEN_NOT_FOUND = "Token not found"  # noqa: S105 - a token of the gallery
_NEWEST_FIRST = Keyset(tokens.c.created_at, tokens.c.id, descending=True)
_BY_POSITION = Keyset(tokens.c.position, tokens.c.id, descending=False)


class TokenLists:
    """The tokens in one database, to be read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, token_id: str) -> Token:
        """Return a token, with its provenance; the id may be in either case. Raises NotFound."""
        query = select_tokens(with_provenance=True).where(tokens.c.token_id == token_id.lower())
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(TOKEN_NOT_FOUND)
        return token_from_row(row)

    def find_by_job(self, job_id: str, owner: str) -> Token | None:
        """Return the first token of an owner with a picture of a job, with its provenance; None if there is none."""
        query = select_tokens(with_provenance=True).where(
            provenance.c.job_id == job_id, tokens.c.owner == owner, tokens.c.asset.is_not(None)
        )
        with self._database.read() as connection:
            row = connection.execute(query.order_by(tokens.c.id).limit(1)).one_or_none()
        return None if row is None else token_from_row(row)

    def list_latest(self, page: Page) -> Listed[Token]:
        """Return a page of the tokens of all active collections, the newest first."""
        return self._list(_NEWEST_FIRST, page, _visible(page), _hidden(page))

    def list_of_collection(self, collection: Collection, page: Page) -> Listed[Token]:
        """Return a page of a collection's tokens, in their order."""
        if collection.explicit in page.explicit.hidden:
            return Listed((), None, collection.token_count)
        return self._list(_BY_POSITION, page, [tokens.c.collection_id == collection.id], None)

    def list_of_owner(self, address: str, page: Page) -> Listed[Token]:
        """Return a page of the tokens of an address in active collections, the newest first."""
        caller = select(profiles.c.caller).where(profiles.c.address_key == address.lower()).scalar_subquery()
        shown = [(tokens.c.owner == caller) & visible for visible in _visible(page)]
        return self._list(_NEWEST_FIRST, page, shown, (collections.c.owner == caller) & _hidden(page))

    def _list(self, order: Keyset, page: Page, shown: list[Any], hidden: Any) -> Listed[Token]:
        """Read a page. ``hidden`` selects the collections whose tokens the filter hides."""
        with self._database.read() as connection:
            rows, next_cursor = order.read(connection, select_tokens(), page, *shown)
            count = 0
            if page.explicit.hidden and hidden is not None:
                query = select(func.coalesce(func.sum(collections.c.token_count), 0)).where(hidden)
                count = int(connection.execute(query).scalar_one())
        return Listed(tuple(map(token_from_row, rows)), next_cursor, count)


def _visible(page: Page) -> list[Any]:
    """Return the conditions of the tokens that lists of all collections show, one for each value of ``explicit``."""
    active = CollectionStatus.ACTIVE
    return [
        tokens.c.visibility == int(Visibility.of_collection(active, explicit=value)) for value in page.explicit.shown
    ]


def _hidden(page: Page) -> Any:
    """Return the condition of the collections whose tokens these lists leave out."""
    return (collections.c.status == CollectionStatus.ACTIVE) & collections.c.explicit.in_(page.explicit.hidden)
