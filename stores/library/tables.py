"""The SQL tables of the model library; ``migrations`` brings a database up to them.

A model has versions, a version has files. Files that have gone leave their row
behind, without a path if another took it: it is what their content is known by, should it come back. Ids are never
given twice (``sqlite_autoincrement``).
"""

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from stores.sql.tables import metadata

# Sorted by its letters' numbers wherever it is, and not by the language of the database server.
SORTED_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# What lists are filtered and sorted by; ``*_key`` columns are folded for comparing. Narrow, for it is read whole; each
# index of an order tells also whether the model is here, so that pages far behind cost no look at the rows before.
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
    sqlite_autoincrement=True,
)

# What is shown of a model; ``facts`` and ``sources`` are JSON, of ``schemas.library.metadata``.
details = Table(
    "library_details",
    metadata,
    Column("model_id", Integer, primary_key=True),
    Column("facts", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("search_text", Text, nullable=False),
)

tags = Table(
    "library_tags",
    metadata,
    Column("model_id", Integer, primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("label", Text, nullable=False),
    Index("library_tags_key", "key", "model_id"),
)

versions = Table(
    "library_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, nullable=False),
    Column("civitai_id", BigInteger, nullable=True),
    Column("facts", Text, nullable=False),
    Column("epoch", Integer, nullable=True),
    Column("first_seen", BigInteger, nullable=False),
    Index("library_versions_model", "model_id"),
    Index("library_versions_civitai", "civitai_id"),
    sqlite_autoincrement=True,
)

claims = Table(
    "library_claims",
    metadata,
    Column("version_id", Integer, primary_key=True),
    Column("source", String(20), primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("time_ms", BigInteger, nullable=False),
    Column("facts", Text, nullable=False),
)

files = Table(
    "library_files",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version_id", Integer, nullable=False),
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

# Hashes by which pictures and programs name a file: several of one file, each findable.
hashes = Table(
    "library_hashes",
    metadata,
    Column("file_id", Integer, primary_key=True),
    Column("name", String(8), primary_key=True),
    Column("value", String(64), nullable=False),
    Index("library_hashes_value", "value"),
)

# What is wrong with a file or with one beside it: the report.
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

# What people have written, which wins and stays.
edits = Table(
    "library_edits",
    metadata,
    Column("model_id", Integer, primary_key=True),
    Column("field", String(40), primary_key=True),
    Column("value", Text, nullable=False),
    Column("edited_at", BigInteger, nullable=False),
)

images = Table(
    "library_images",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("model_id", Integer, nullable=False),
    Column("version_id", Integer, nullable=True),
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

# Who looks after the library now: one process of all.
leases = Table(
    "library_leases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("owner", String(80), nullable=False),
    Column("until", BigInteger, nullable=False),
)
