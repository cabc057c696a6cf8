"""The SQL tables of the gallery. ``stores.sql.migrations`` creates them.

Times are Unix ms. Addresses are in EIP-55 form; ``*_key`` columns hold the same text normalized for comparison. Tokens
name their asset files without a foreign key: transactions keep both in step, and a key on four columns would cost four
more indexes.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from stores.sql.tables import metadata

# A person: the wallet address of a caller and the caller's own description. ``last_number`` is the counter part
# of the last token id that was reserved.
profiles = Table(
    "gallery_profiles",
    metadata,
    Column("caller", String(16), ForeignKey("addresses.caller"), primary_key=True),
    Column("address", String(42), nullable=False),
    Column("address_key", String(42), nullable=False),
    Column("username", Text, nullable=True),
    Column("username_key", Text, nullable=True),
    Column("bio", Text, nullable=False),
    Column("link", Text, nullable=True),
    Column("image", String(40), nullable=True),
    Column("twitter", Text, nullable=True),
    Column("twitter_verified", Boolean, nullable=False),
    Column("last_number", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Index("gallery_profiles_address", "address_key", unique=True),
    Index("gallery_profiles_username", "username_key", unique=True),
)

# ``token_count`` and ``last_position`` are changed in the transaction that adds or removes a token.
collections = Table(
    "gallery_collections",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", String(16), ForeignKey("gallery_profiles.caller"), nullable=False),
    Column("slug", String(100), nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("explicit", Boolean, nullable=False),
    Column("thumbnail", String(40), nullable=True),
    Column("royalty_fee", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("virtual_address", String(42), nullable=False),
    Column("virtual_key", String(42), nullable=False),
    Column("token_count", Integer, nullable=False),
    Column("last_position", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Index("gallery_collections_slug", "slug", unique=True),
    Index("gallery_collections_virtual", "virtual_key", unique=True),
    Index("gallery_collections_latest", "status", "explicit", "created_at", "id"),
    Index("gallery_collections_hidden", "status", "explicit", "token_count"),
    Index("gallery_collections_owner", "owner", "created_at", "id"),
    sqlite_autoincrement=True,
)

# Every slug that a collection has or had: an old one redirects, and no other collection can take it.
slugs = Table(
    "gallery_slugs",
    metadata,
    Column("slug", String(100), primary_key=True),
    Column("collection_id", Integer, ForeignKey("gallery_collections.id", ondelete="CASCADE"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("gallery_slugs_collection", "collection_id"),
)

# ``visibility`` copies what the collection's status and explicit flag mean for lists of all collections: see
# ``stores.gallery.visibility``. ``listing`` and ``attributes`` are JSON.
tokens = Table(
    "gallery_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token_id", String(66), nullable=False),
    Column("collection_id", Integer, ForeignKey("gallery_collections.id"), nullable=False),
    Column("owner", String(16), ForeignKey("gallery_profiles.caller"), nullable=False),
    Column("visibility", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("amount", String(66), nullable=False),
    Column("attributes", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("moderation_score", Float, nullable=False),
    Column("model", Text, nullable=True),
    Column("workload_id", String(34), nullable=True),
    Column("media_status", String(8), nullable=False),
    Column("media_reason", Text, nullable=True),
    Column("sha256", String(64), nullable=True),
    Column("media_type", String(40), nullable=True),
    Column("width", Integer, nullable=True),
    Column("height", Integer, nullable=True),
    Column("frames", Integer, nullable=True),
    Column("size_bytes", BigInteger, nullable=True),
    Column("asset", String(40), nullable=True),
    Column("thumb", String(40), nullable=True),
    Column("preview", String(40), nullable=True),
    Column("poster", String(40), nullable=True),
    Column("listing", Text, nullable=True),
    Column("refresh_requested_at", BigInteger, nullable=True),
    Column("is_prompt_private", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Index("gallery_tokens_token_id", "token_id", unique=True),
    Index("gallery_tokens_latest", "visibility", "created_at", "id"),
    Index("gallery_tokens_collection", "collection_id", "position", "id"),
    Index("gallery_tokens_owner", "owner", "visibility", "created_at", "id"),
    Index("gallery_tokens_media", "media_status", "modified_at"),
    sqlite_autoincrement=True,
)

# Where a token's picture came from, as JSON. Apart from the tokens, so that their lists do not read it.
provenance = Table(
    "gallery_provenance",
    metadata,
    Column("token_row", Integer, ForeignKey("gallery_tokens.id", ondelete="CASCADE"), primary_key=True),
    Column("job_id", String(32), nullable=True),
    Column("record", Text, nullable=False),
    Index("gallery_provenance_job", "job_id"),
)

# Content-addressed objects of the media store. A row is written before its object and deleted after it, so no object
# is without a row. ``held_at`` protects an object that no asset names yet, or no longer, from being deleted. An object
# with ``deleting_since`` cannot be held: the media store may delete it at any moment.
objects = Table(
    "gallery_objects",
    metadata,
    Column("media_key", String(200), primary_key=True),
    Column("held_at", BigInteger, nullable=False),
    Column("deleting_since", BigInteger, nullable=True),
    Index("gallery_objects_held", "held_at"),
)

# Public names of objects.
assets = Table(
    "gallery_assets",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("media_key", String(200), ForeignKey("gallery_objects.media_key"), nullable=False),
    Column("type", String(40), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index("gallery_assets_object", "media_key"),
)

# Signed upload URLs. They outlive their token, because uploaded bytes must still be deleted.
uploads = Table(
    "gallery_uploads",
    metadata,
    Column("nonce", String(40), primary_key=True),
    Column("owner", String(16), ForeignKey("gallery_profiles.caller"), nullable=False),
    Column("target", String(16), nullable=False),
    Column("target_id", String(100), nullable=False),
    Column("media_key", String(200), nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=True),
    Column("state", String(12), nullable=False),
    Column("reason", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Index("gallery_uploads_owner", "owner", "state"),
    Index("gallery_uploads_target", "target_id", "state"),
    Index("gallery_uploads_due", "state", "expires_at"),
)

# Events on their way to webhooks and streams, written in the transaction of the change that they tell.
events = Table(
    "gallery_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("owner", String(16), nullable=False),
    Column("type", String(40), nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_autoincrement=True,
)
