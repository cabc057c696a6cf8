"""How many models match: exact up to MAX_COUNTED, beyond that the estimate of PostgreSQL's planner.

Counting a million rows takes longer than reading the page that a caller wants to see. SQLite has no such estimate, and
counts.
"""

from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

MAX_COUNTED = 10_000


def count_matches(connection: Connection, matches: Select[Any], estimated: Select[Any]) -> tuple[int, bool]:
    """Return the number of ``matches``, and whether it is an estimate.

    ``estimated`` selects the same rows in words that the planner knows how to weigh.
    """
    if connection.dialect.name != "postgresql":
        return int(connection.execute(matches.with_only_columns(func.count())).scalar_one()), False
    first = matches.with_only_columns(literal(1)).limit(MAX_COUNTED + 1).subquery()
    number = int(connection.execute(select(func.count()).select_from(first)).scalar_one())
    if number <= MAX_COUNTED:
        return number, False
    return max(number, _estimate_rows(connection, estimated)), True


def _estimate_rows(connection: Connection, query: Select[Any]) -> int:
    compiled = query.compile(connection, compile_kwargs={"render_postcompile": True})
    plans = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", compiled.params).scalar_one()
    return int(plans[0]["Plan"]["Plan Rows"])
