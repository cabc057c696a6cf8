"""Queries and conversions of rows to records, shared by the stores of the gallery."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, select, true

from schemas.gallery.collections import Collection, CollectionStatus
from schemas.gallery.tokens import CollectionRef, Listing, MediaStatus, NewToken, Token, TokenMedia
from stores.gallery.tables import collections, profiles, provenance, tokens
from stores.library.rows import dump_json

# An arbitrary number for PostgreSQL's advisory locks, unique to this purpose.
GALLERY_LOCK_ID = 7_118_108
_COLLECTION_FIELDS = tuple(Collection.__dataclass_fields__)
_SAME_NAME = (
    *("id", "token_id", "owner", "name", "description", "amount", "position", "status", "moderation_score", "model"),
    *("workload_id", "refresh_requested_at", "is_prompt_private", "created_at", "modified_at"),
)
# The columns of a token that are not fields of its media.
_MEDIA_COLUMNS = {
    name: {"status": "media_status", "reason": "media_reason", "type": "media_type"}.get(name, name)
    for name in TokenMedia.__dataclass_fields__
}


# What a foreign key makes sure to exist is joined by outer joins. A planner cannot turn them round, so it always begins
# with the rows that the condition names, whatever statistics it has.


def select_collections() -> Select[Any]:
    """Return the query of collections with what their records need."""
    owner = profiles.c.address.label("address_of_owner"), profiles.c.twitter, profiles.c.twitter_verified
    return select(collections, *owner).outerjoin(profiles, profiles.c.caller == collections.c.owner)


def select_tokens(*, with_provenance: bool = False) -> Select[Any]:
    """Return the query of tokens with what their records need.

    Without provenance only private prompts have it, since it says what others must not see of the token.
    """
    query = select(
        tokens,
        profiles.c.address.label("creator"),
        collections.c.slug.label("collection_slug"),
        collections.c.name.label("collection_name"),
        collections.c.virtual_address.label("virtual_address"),
        collections.c.explicit.label("explicit"),
        provenance.c.record.label("provenance"),
    )
    query = query.outerjoin(collections, collections.c.id == tokens.c.collection_id)
    query = query.outerjoin(profiles, profiles.c.caller == tokens.c.owner)
    is_needed = true() if with_provenance else tokens.c.is_prompt_private
    return query.outerjoin(provenance, and_(is_needed, provenance.c.token_row == tokens.c.id))


def collection_from_row(row: Any) -> Collection:
    """Convert from a row of ``select_collections``."""
    values = {name: getattr(row, name) for name in _COLLECTION_FIELDS}
    return Collection(**values | {"status": CollectionStatus(row.status)})


def token_from_row(row: Any) -> Token:
    """Convert from a row of ``select_tokens``."""
    # Pages have many rows of many columns: looking names up in a dict is faster than in the row.
    values = row._asdict()
    record = values["provenance"]
    media = {name: values[column] for name, column in _MEDIA_COLUMNS.items()}
    return Token(
        **{name: values[name] for name in _SAME_NAME},
        collection=CollectionRef(
            row.collection_id, row.collection_slug, row.collection_name, row.virtual_address, row.explicit
        ),
        creator=row.creator,
        attributes=tuple(json.loads(row.attributes)),
        media=TokenMedia(**media | {"status": MediaStatus(row.media_status)}),
        listing=None if row.listing is None else Listing(**json.loads(row.listing)),
        provenance=None if record is None else json.loads(record),
    )


def media_to_columns(media: TokenMedia) -> dict[str, Any]:
    """Convert to columns of ``gallery_tokens``."""
    return {column: getattr(media, name) for name, column in _MEDIA_COLUMNS.items()}


def listing_to_column(listing: Listing | None) -> str | None:
    """Convert to the column ``listing``."""
    if listing is None:
        return None
    return dump_json({name: getattr(listing, name) for name in Listing.__dataclass_fields__})


def new_token_to_columns(fields: NewToken) -> dict[str, Any]:
    """Convert to columns of ``gallery_tokens``, without its id, place and times."""
    names = ("name", "description", "amount", "moderation_score", "model", "workload_id", "is_prompt_private")
    return {name: getattr(fields, name) for name in names} | {
        "attributes": dump_json(list(fields.attributes)),
        "listing": listing_to_column(fields.listing),
        "status": "ACTIVE",
    }


def provenance_to_columns(record: Mapping[str, Any]) -> dict[str, Any]:
    """Convert to columns of ``gallery_provenance``."""
    job_id = record.get("jobId")
    return {"job_id": job_id if isinstance(job_id, str) else None, "record": dump_json(dict(record))}
