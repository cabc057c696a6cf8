"""Keyset paging of lists that are ordered by one number and the row id."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, select, tuple_, union_all

from schemas.errors import Invalid
from schemas.gallery.pages import MAX_OFFSET, Page
from schemas.paging import INVALID_CURSOR, Cursor

# Existing clients send this for the first page.
FIRST_CURSORS = (None, "", "0")


class Keyset:
    """The order of one list: by a number column, then by id, ascending or descending."""

    def __init__(self, number: Column[Any], row_id: Column[Any], *, descending: bool) -> None:
        self._columns = (number, row_id)
        self._descending = descending

    def read(
        self, connection: Connection, query: Select[Any], page: Page, *conditions: Any
    ) -> tuple[list[Any], str | None]:
        """Return the rows of ``query`` on a page, in their order, and the cursor of the next page, or None at the end.

        Rows that satisfy any of ``conditions`` are listed. Each condition is a walk of its own along its index, and the
        database reads no more of it than the page needs.

        Raises:
            Invalid: the cursor is malformed, or the page number is too deep.
        """
        number, row_id = self._columns
        keys = list(connection.execute(self._select_keys(page, conditions)))
        shown = keys[: page.size]
        # By ids, and not by a join with the walks: SQLite's planner cannot know how short they are, and may walk
        # through a whole table instead.
        rows_of_page = query.where(row_id.in_([key.id for key in shown])).order_by(*self._order(number, row_id))
        rows = list(connection.execute(rows_of_page)) if shown else []
        next_cursor = Cursor(shown[-1].number, str(shown[-1].id)).encode() if len(keys) > page.size else None
        return rows, next_cursor

    def _select_keys(self, page: Page, conditions: Sequence[Any]) -> Select[Any]:
        """Return the query of the keys of a page and of one more row, which tells whether another page follows."""
        offset, limit = _offset(page), page.size + 1
        number, row_id = self._columns
        walks = [
            select(row_id.label("id"), number.label("number"))
            .where(condition, *self._after(page))
            .order_by(*self._order(number, row_id))
            .limit(offset + limit)
            .subquery()
            for condition in conditions
        ]
        merged: Any = union_all(*map(select, walks)).subquery() if len(walks) > 1 else walks[0]
        query = select(merged.c.id, merged.c.number).order_by(*self._order(merged.c.number, merged.c.id))
        return query.limit(limit).offset(offset)

    def _after(self, page: Page) -> list[Any]:
        if page.cursor in FIRST_CURSORS:
            return []
        cursor = Cursor.decode(str(page.cursor))
        if not (cursor.id.isascii() and cursor.id.isdigit()):
            raise Invalid(INVALID_CURSOR)
        place, last = tuple_(*self._columns), tuple_(cursor.time_ms, int(cursor.id))
        return [place < last if self._descending else place > last]

    def _order(self, number: Any, row_id: Any) -> tuple[Any, Any]:
        return (number.desc(), row_id.desc()) if self._descending else (number, row_id)


def _offset(page: Page) -> int:
    offset = page.number * page.size
    if page.cursor not in FIRST_CURSORS:
        return 0
    if offset > MAX_OFFSET:
        message = f"page: reaches only {MAX_OFFSET} items; after them, send 'cursor' with 'next' of the previous page."
        raise Invalid(problems=[message])
    return offset
