"""Keyset paging of lists that are ordered by one number and the row id."""

from typing import Any

from sqlalchemy import Column, Select, Subquery, select, tuple_, union_all

from schemas.errors import Invalid
from schemas.gallery.pages import MAX_OFFSET, Page
from schemas.paging import INVALID_CURSOR, Cursor

# What clients of the seed send for the first page.
FIRST_CURSORS = (None, "", "0")


class Keyset:
    """The order of one list: by a number column, then by id, ascending or descending."""

    def __init__(self, number: Column[Any], row_id: Column[Any], *, descending: bool) -> None:
        self._columns = (number, row_id)
        self._descending = descending

    def page_ids(self, page: Page, *conditions: Any) -> Select[Any]:
        """Return the query of the ids of a page and of one more row, which tells whether another page follows.

        Rows that satisfy any of ``conditions`` are listed. Each condition is a walk of its own along its index, and the
        database reads no more of it than the page needs.

        Raises:
            Invalid: the cursor is malformed, or the page number is too deep.
        """
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

    def sort(self, query: Select[Any], ids: Subquery) -> Select[Any]:
        """Return ``query`` joined with a page's ids, in their order."""
        _, row_id = self._columns
        return query.join(ids, ids.c.id == row_id).order_by(*self._order(ids.c.number, ids.c.id))

    def split(self, rows: list[Any], page: Page) -> tuple[list[Any], str | None]:
        """Return the rows of the page, and the cursor of the next page, or None at the end."""
        number, row_id = (column.name for column in self._columns)
        shown = rows[: page.size]
        if len(rows) <= page.size:
            return shown, None
        return shown, Cursor(getattr(shown[-1], number), str(getattr(shown[-1], row_id))).encode()

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
        message = f"page: reaches {MAX_OFFSET} items deep; beyond, send 'cursor', which is 'next' of the previous page."
        raise Invalid(problems=[message])
    return offset
