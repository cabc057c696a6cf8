"""The SQL tables of the model library. ``stores.sql.migrations`` creates them.

A model has versions, a version has files. The row of a file that has gone stays as a tombstone, without a path once
another file takes that: its content identifies the file if it comes back. Ids are never reused
(``sqlite_autoincrement``). Deleting a row deletes what belongs to it, except user edits: the database refuses to delete
a model that still has some.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from stores.sql.tables import metadata

# Sorted by code point in every database, not by the locale of the PostgreSQL server.
SORTED_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# The read model that lists are filtered and sorted by; ``*_key`` columns are normalized for comparison. The table is
# narrow because filters scan it. Each sort index includes ``files``, so that a page far down the list skips models
# without files on the index alone.
models = Table(
    "library_models",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", SORTED_TEXT, nullable=False),
    Column("type", Text, nullable=False),
    Column("type_key", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("category_key", Text, nullable=False),
    Column("subcategory", Text, nullable=True),
    Column("subcategory_key", Text, nullable=True),
    Column("base_model", Text, nullable=True),
    Column("base_model_key", Text, nullable=True),
    Column("creator_key", Text, nullable=True),
    Column("nsfw_level", Integer, nullable=False),
    Column("civitai_id", BigInteger, nullable=True),
    Column("group_key", String(64), nullable=True),
    Column("downloads", BigInteger, nullable=False),
    Column("likes", BigInteger, nullable=False),
    Column("newest_at", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("dim", Integer, nullable=True),
    Column("files", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("hero_image", Integer, nullable=True),
    Index("library_models_newest", "newest_at", "id", "files"),
    Index("library_models_name", "name_key", "id", "files"),
    Index("library_models_downloads", "downloads", "id", "files"),
    Index("library_models_likes", "likes", "id", "files"),
    Index("library_models_size", "size_bytes", "id", "files"),
    Index("library_models_files", "files", "base_model_key", "dim"),
    Index("library_models_civitai", "civitai_id"),
    Index("library_models_group", "group_key"),
    Index("library_models_dim", "dim", "id"),
    sqlite_autoincrement=True,
)

# The rest of the read model. ``facts`` and ``sources`` are JSON of ``schemas.library.metadata``.
details = Table(
    "library_details",
    metadata,
    Column("model_id", Integer, ForeignKey("library_models.id", ondelete="CASCADE"), primary_key=True),
    Column("facts", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("search_text", Text, nullable=False),
)

tags = Table(
    "library_tags",
    metadata,
    Column("model_id", Integer, ForeignKey("library_models.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("label", Text, nullable=False),
    Index("library_tags_key", "key", "model_id"),
)

versions = Table(
    "library_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("library_models.id", ondelete="CASCADE"), nullable=False),
    Column("civitai_id", BigInteger, nullable=True),
    Column("facts", Text, nullable=False),
    Column("epoch", Integer, nullable=True),
    Column("first_seen", BigInteger, nullable=False),
    Index("library_versions_model", "model_id"),
    Index("library_versions_civitai", "civitai_id"),
    sqlite_autoincrement=True,
)

# The metadata of a version from each source: at most one row for each source and priority.
source_metadata = Table(
    "library_claims",
    metadata,
    Column("version_id", Integer, ForeignKey("library_versions.id", ondelete="CASCADE"), primary_key=True),
    Column("source", String(20), primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
)

files = Table(
    "library_files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version_id", Integer, ForeignKey("library_versions.id", ondelete="CASCADE"), nullable=False),
    Column("root", Text, nullable=False),
    Column("path", LargeBinary, nullable=True),
    Column("name", Text, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("inode", BigInteger, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("companions", String(32), nullable=False),
    Column("layout", String(64), nullable=True),
    Column("header", Text, nullable=False),
    Column("problem", String(32), nullable=True),
    Column("content", String(80), nullable=True),
    Column("hashes", Text, nullable=False),
    Column("hashed_at", BigInteger, nullable=True),
    Column("first_seen", BigInteger, nullable=False),
    Column("missing_since", BigInteger, nullable=True),
    UniqueConstraint("root", "path", name="library_files_place"),
    Index("library_files_version", "version_id"),
    Index("library_files_content", "content"),
    Index("library_files_inode", "inode"),
    Index("library_files_unhashed", "hashed_at"),
    sqlite_autoincrement=True,
)

# The hashes by which image metadata and programs refer to a file, several for each file.
hashes = Table(
    "library_hashes",
    metadata,
    Column("file_id", Integer, ForeignKey("library_files.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(8), primary_key=True),
    Column("value", String(64), nullable=False),
    Index("library_hashes_value", "value"),
)

# The report: what is wrong with a model file or with a companion of it (``subject``). No foreign key: a problem may be
# about a path that is no model file.
problems = Table(
    "library_problems",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("root", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("subject", LargeBinary, nullable=False),
    Column("code", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    Index("library_problems_place", "root", "path"),
)

# User edits: they override every source and survive every scan.
user_edits = Table(
    "library_edits",
    metadata,
    Column("model_id", Integer, ForeignKey("library_models.id"), primary_key=True),
    Column("field", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("edited_at", BigInteger, nullable=False),
)

# Preview images beside model files have a ``slot`` and a path; user images have a ``media_key``.
images = Table(
    "library_images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, ForeignKey("library_models.id", ondelete="CASCADE"), nullable=False),
    Column("version_id", Integer, ForeignKey("library_versions.id", ondelete="CASCADE"), nullable=True),
    Column("slot", Text, nullable=True),
    Column("root", Text, nullable=True),
    Column("path", LargeBinary, nullable=True),
    Column("stamp", Text, nullable=True),
    Column("media_key", Text, nullable=True),
    Column("thumb_key", Text, nullable=True),
    Column("media_type", String(20), nullable=True),
    Column("width", Integer, nullable=True),
    Column("height", Integer, nullable=True),
    Column("nsfw_level", Integer, nullable=False),
    Column("blurhash", Text, nullable=True),
    Column("prompt", Text, nullable=True),
    Column("params", Text, nullable=False),
    Column("sort_order", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("job_id", String(32), nullable=True),
    UniqueConstraint("version_id", "slot", name="library_images_slot"),
    Index("library_images_model", "model_id"),
    sqlite_autoincrement=True,
)

# Leases of the elected background process.
# The folders of the library. One remains until no machine names it any more, or a command removes it.
roots = Table(
    "library_roots",
    metadata,
    Column("root", Text, primary_key=True),
    Column("machine", String(64), primary_key=True),
    Column("named_at", BigInteger, nullable=False),
)

leases = Table(
    "library_leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("until", BigInteger, nullable=False),
)
