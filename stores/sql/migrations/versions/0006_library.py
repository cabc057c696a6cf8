"""The model library."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# Full text: SQLite keeps an index of its own beside the table, PostgreSQL one on it.
SQLITE = (
    (
        "CREATE VIRTUAL TABLE library_search USING fts5("
        "search_text, content='library_details', content_rowid='model_id', tokenize='unicode61')"
    ),
    (
        "CREATE TRIGGER library_search_added AFTER INSERT ON library_details BEGIN "
        "INSERT INTO library_search(rowid, search_text) VALUES (new.model_id, new.search_text); END"
    ),
    (
        "CREATE TRIGGER library_search_taken AFTER DELETE ON library_details BEGIN "
        "INSERT INTO library_search(library_search, rowid, search_text) "
        "VALUES ('delete', old.model_id, old.search_text); END"
    ),
    (
        "CREATE TRIGGER library_search_changed AFTER UPDATE OF search_text ON library_details "
        "WHEN old.search_text <> new.search_text BEGIN "
        "INSERT INTO library_search(library_search, rowid, search_text) "
        "VALUES ('delete', old.model_id, old.search_text); "
        "INSERT INTO library_search(rowid, search_text) VALUES (new.model_id, new.search_text); END"
    ),
)
POSTGRESQL = ("CREATE INDEX library_search ON library_details USING gin (to_tsvector('simple', search_text))",)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "library_models",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("type_key", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("category_key", sa.Text, nullable=False),
        sa.Column("subcategory", sa.Text, nullable=True),
        sa.Column("subcategory_key", sa.Text, nullable=True),
        sa.Column("base_model", sa.Text, nullable=True),
        sa.Column("base_model_key", sa.Text, nullable=True),
        sa.Column("creator_key", sa.Text, nullable=True),
        sa.Column("nsfw_level", sa.Integer, nullable=False),
        sa.Column("civitai_id", sa.BigInteger, nullable=True),
        sa.Column("group_key", sa.String(64), nullable=True),
        sa.Column("downloads", sa.BigInteger, nullable=False),
        sa.Column("likes", sa.BigInteger, nullable=False),
        sa.Column("newest_at", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("dim", sa.Integer, nullable=True),
        sa.Column("files", sa.Integer, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("hero_image", sa.Integer, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("library_models_newest", "library_models", ["newest_at", "id", "files"])
    op.create_index("library_models_name", "library_models", ["name_key", "id", "files"])
    op.create_index("library_models_downloads", "library_models", ["downloads", "id", "files"])
    op.create_index("library_models_likes", "library_models", ["likes", "id", "files"])
    op.create_index("library_models_size", "library_models", ["size_bytes", "id", "files"])
    op.create_index("library_models_files", "library_models", ["files", "base_model_key", "dim"])
    op.create_index("library_models_civitai", "library_models", ["civitai_id"])
    op.create_index("library_models_group", "library_models", ["group_key"])
    op.create_table(
        "library_details",
        sa.Column("model_id", sa.Integer, primary_key=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("sources", sa.Text, nullable=False),
        sa.Column("search_text", sa.Text, nullable=False),
    )
    op.create_table(
        "library_tags",
        sa.Column("model_id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
    )
    op.create_index("library_tags_key", "library_tags", ["key", "model_id"])
    op.create_table(
        "library_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("civitai_id", sa.BigInteger, nullable=True),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=True),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("library_versions_model", "library_versions", ["model_id"])
    op.create_index("library_versions_civitai", "library_versions", ["civitai_id"])
    op.create_table(
        "library_claims",
        sa.Column("version_id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String(20), primary_key=True),
        sa.Column("rank", sa.Integer, primary_key=True),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        "library_files",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version_id", sa.Integer, nullable=False),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("inode", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("mtime_ns", sa.BigInteger, nullable=False),
        sa.Column("companions", sa.String(32), nullable=False),
        sa.Column("layout", sa.String(64), nullable=True),
        sa.Column("header", sa.Text, nullable=False),
        sa.Column("problem", sa.String(32), nullable=True),
        sa.Column("content", sa.String(80), nullable=True),
        sa.Column("hashes", sa.Text, nullable=False),
        sa.Column("hashed_at", sa.BigInteger, nullable=True),
        sa.Column("first_seen", sa.BigInteger, nullable=False),
        sa.Column("missing_since", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("root", "path", name="library_files_place"),
        sqlite_autoincrement=True,
    )
    op.create_index("library_files_version", "library_files", ["version_id"])
    op.create_index("library_files_content", "library_files", ["content"])
    op.create_index("library_files_inode", "library_files", ["inode"])
    op.create_index("library_files_unhashed", "library_files", ["hashed_at"])
    op.create_table(
        "library_hashes",
        sa.Column("file_id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(8), primary_key=True),
        sa.Column("value", sa.String(64), nullable=False),
    )
    op.create_index("library_hashes_value", "library_hashes", ["value"])
    op.create_table(
        "library_problems",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("root", sa.Text, nullable=False),
        sa.Column("path", sa.LargeBinary, nullable=False),
        sa.Column("subject", sa.LargeBinary, nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("found_at", sa.BigInteger, nullable=False),
    )
    op.create_index("library_problems_place", "library_problems", ["root", "path"])
    op.create_table(
        "library_edits",
        sa.Column("model_id", sa.Integer, primary_key=True),
        sa.Column("field", sa.String(40), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("edited_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "library_images",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("model_id", sa.Integer, nullable=False),
        sa.Column("version_id", sa.Integer, nullable=True),
        sa.Column("slot", sa.Text, nullable=True),
        sa.Column("root", sa.Text, nullable=True),
        sa.Column("path", sa.LargeBinary, nullable=True),
        sa.Column("stamp", sa.Text, nullable=True),
        sa.Column("media_key", sa.Text, nullable=True),
        sa.Column("thumb_key", sa.Text, nullable=True),
        sa.Column("media_type", sa.String(20), nullable=True),
        sa.Column("width", sa.Integer, nullable=True),
        sa.Column("height", sa.Integer, nullable=True),
        sa.Column("nsfw_level", sa.Integer, nullable=False),
        sa.Column("blurhash", sa.Text, nullable=True),
        sa.Column("prompt", sa.Text, nullable=True),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("sort_order", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("job_id", sa.String(32), nullable=True),
        sa.UniqueConstraint("version_id", "slot", name="library_images_slot"),
        sqlite_autoincrement=True,
    )
    op.create_index("library_images_model", "library_images", ["model_id"])
    op.create_table(
        "library_leases",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TABLE library_search")
    for name in (
        "library_models",
        "library_details",
        "library_tags",
        "library_versions",
        "library_claims",
        "library_files",
        "library_hashes",
        "library_problems",
        "library_edits",
        "library_images",
        "library_leases",
    ):
        op.drop_table(name)
