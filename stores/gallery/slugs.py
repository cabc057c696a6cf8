"""Slugs of collections: unique among current and old ones."""

from sqlalchemy import Connection, select

from schemas.errors import Conflict, Invalid
from schemas.gallery.slugs import RESERVED, is_forbidden, suggest_slugs
from stores.gallery.tables import slugs
from stores.sql.database import Database

# As many slugs as are tried for the suggestion of a free one.
MAX_SUGGESTIONS = 100


def take_slug(database: Database, connection: Connection, slug: str, collection_id: int, now_ms: int) -> None:
    """Give a slug to a collection, which may have had it before.

    Raises:
        Conflict: another collection has or had it; ``suggestion`` in the details is free.
        Invalid: it is reserved or looks like an address; ``suggestion`` is free.
    """
    if is_forbidden(slug):
        why = f"one of the reserved words {', '.join(sorted(RESERVED))}" if slug in RESERVED else "like an address"
        free = find_free_slug(connection, slug)
        raise Invalid(problems=[f"slug: {slug!r} is {why}; {free!r} is free."], suggestion=free)
    row = {"slug": slug, "collection_id": collection_id, "created_at": now_ms}
    statement = database.insert_or_ignore(slugs).values(row).returning(slugs.c.slug)
    if connection.execute(statement).first() is not None:
        return
    if connection.execute(select(slugs.c.collection_id).where(slugs.c.slug == slug)).scalar_one() != collection_id:
        free = find_free_slug(connection, slug)
        raise Conflict(f"slug: another collection has or had {slug!r}; {free!r} is free.", suggestion=free)


def find_free_slug(connection: Connection, slug: str) -> str | None:
    """Return a slug that resembles ``slug`` and is free now, or None if none of those tried is."""
    candidates = suggest_slugs(slug, MAX_SUGGESTIONS)
    taken = set(connection.execute(select(slugs.c.slug).where(slugs.c.slug.in_(candidates))).scalars())
    return next((candidate for candidate in candidates if candidate not in taken), None)
