"""A gallery of up to millions of tokens, written straight into the tables for benchmarks.

The tokens of a collection are spread over the whole table, as they are where many people add to a gallery. The owner of
the first collections is the caller ``owner``; a tenth of the collections is explicit.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg

from schemas.gallery.tokens import ONE, format_token_id

OWNERS, EXPLICIT_EVERY = 100, 10
START_MS, STEP_MS = 1_600_000_000_000, 50
# How many more ids each owner has reserved than there are tokens.
RESERVED = 100_000
DESCRIPTION = "A grandiose depiction of a Gothic cathedral, with towering arches, stained glass windows and sculptures."
ATTRIBUTES = '[{"trait_type": "Theme", "value": "Life"}, {"trait_type": "Edition", "value": "Limited"}]'
POSITION_STEP = 1 << 20
SQLITE_HEX, POSTGRESQL_HEX = "printf('%0{1}x', {0})", "lpad(to_hex({0}), {1}, '0')"
SQLITE_NUMBERS = "WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < {0})"
POSTGRESQL_NUMBERS = "WITH n(i) AS (SELECT generate_series(0::bigint, {0}))"
# The expressions of the columns for row ``i``; ``HEX(number, digits)`` and the boolean values differ by database.
_HEX = re.compile(r"HEX\(([^,]+), (\d+)\)")
OWNER, CALLER = "(i % {collections} % {owners})", "CASE {owner} WHEN 0 THEN 'owner' ELSE 'caller' || {owner} END"
TABLES = {
    "addresses": {"caller": CALLER, "address": "'0x' || HEX(i + 1, 40)"},
    "gallery_profiles": {
        "caller": CALLER,
        "address": "'0x' || HEX(i + 1, 40)",
        "address_key": "'0x' || HEX(i + 1, 40)",
        "bio": "''",
        "twitter_verified": "FALSE",
        "last_number": "{tokens} + {reserved}",
        "created_at": "{start}",
        "modified_at": "{start}",
    },
    "gallery_collections": {
        "id": "i + 1",
        "owner": CALLER,
        "slug": "'collection-' || i",
        "name": "'Collection ' || i",
        "description": "'{description}'",
        "explicit": "i % {explicit_every} = 0",
        "royalty_fee": "1000",
        "status": "'ACTIVE'",
        "virtual_address": "'0x' || HEX(i + 1000000, 40)",
        "virtual_key": "'0x' || HEX(i + 1000000, 40)",
        "token_count": "({tokens} - i + {collections} - 1) / {collections}",
        "last_position": "({tokens} - i + {collections} - 1) / {collections} * {position_step}",
        "created_at": "{start} + i",
        "modified_at": "{start} + i",
    },
    "gallery_slugs": {"slug": "'collection-' || i", "collection_id": "i + 1", "created_at": "{start}"},
    "gallery_tokens": {
        "id": "i + 1",
        "token_id": "'0x' || HEX({owner} + 1, 40) || HEX(i + 1, 24)",
        "collection_id": "i % {collections} + 1",
        "owner": CALLER,
        "visibility": "CASE WHEN i % {collections} % {explicit_every} = 0 THEN 2 ELSE 1 END",
        "position": "(i / {collections} + 1) * {position_step}",
        "name": "'Token ' || i",
        "description": "'{description}'",
        "amount": "'{one}'",
        "attributes": "'{attributes}'",
        "status": "'ACTIVE'",
        "moderation_score": "0",
        "media_status": "'ready'",
        "sha256": "HEX(i, 64)",
        "media_type": "'image/png'",
        "width": "1024",
        "height": "1024",
        "frames": "1",
        "size_bytes": "1000000",
        "asset": "HEX(i, 21) || '.png'",
        "thumb": "HEX(i, 21) || '.webp'",
        "is_prompt_private": "FALSE",
        "created_at": "{start} + i * {step}",
        "modified_at": "{start} + i * {step}",
    },
}


@dataclass(frozen=True, slots=True)
class GalleryFixture:
    """The numbers of collections and tokens, and their names for benchmarks."""

    collections: int
    tokens: int

    def slug(self, number: int) -> str:
        """Return the slug of a collection."""
        return f"collection-{number % self.collections}"

    def address(self, owner: int) -> str:
        """Return the address of an owner."""
        return f"0x{owner + 1:040x}"

    def token_id(self, number: int) -> str:
        """Return the id of a token, counted from the oldest."""
        return format_token_id(self.address(number % self.collections % OWNERS), number + 1)

    @property
    def first_free_number(self) -> int:
        """The first counter of ids that the caller ``owner`` has reserved and not used."""
        return self.tokens + 1

    def own_slug(self, number: int) -> str:
        """Return the slug of a collection of the caller ``owner``, a different one for each small number."""
        return self.slug(number * OWNERS % self.collections if self.collections > OWNERS else 0)

    def write(self, url: str) -> None:
        """Write all rows into the migrated, empty tables of a database, which makes them itself."""
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                for statement in self._statements(SQLITE_HEX, SQLITE_NUMBERS):
                    connection.execute(statement)
                connection.commit()
                connection.execute("ANALYZE")
            return
        with psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as server:
            for statement in self._statements(POSTGRESQL_HEX, POSTGRESQL_NUMBERS):
                server.execute(statement)
            server.execute("SELECT setval('gallery_collections_id_seq', (SELECT max(id) FROM gallery_collections))")
            server.execute("SELECT setval('gallery_tokens_id_seq', (SELECT max(id) FROM gallery_tokens))")
            server.execute("VACUUM ANALYZE")

    def _statements(self, hex_text: str, numbers_query: str) -> Iterator[str]:
        owners = min(OWNERS, self.collections)
        counts = {"gallery_tokens": self.tokens, "addresses": owners, "gallery_profiles": owners}
        values = {
            "collections": self.collections,
            "tokens": self.tokens,
            "owners": OWNERS,
            "owner": OWNER.format(collections=self.collections, owners=OWNERS),
            "reserved": RESERVED,
            "start": START_MS,
            "step": STEP_MS,
            "description": DESCRIPTION,
            "attributes": ATTRIBUTES,
            "explicit_every": EXPLICIT_EVERY,
            "position_step": POSITION_STEP,
            "one": ONE,
        }
        for table, columns in TABLES.items():
            numbers = numbers_query.format(counts.get(table, self.collections) - 1)
            texts = [text.format(**values) for text in columns.values()]
            expressions = ", ".join(_HEX.sub(lambda match: hex_text.format(*match.groups()), text) for text in texts)
            # Table and columns are names of this module.
            yield f"{numbers} INSERT INTO {table} ({', '.join(columns)}) SELECT {expressions} FROM n"  # noqa: S608
