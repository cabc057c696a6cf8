"""The gallery. Callers that already have a wallet address get a profile."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables and the profiles."""
    op.create_table(
        "gallery_profiles",
        sa.Column("caller", sa.String(16), sa.ForeignKey("addresses.caller"), primary_key=True),
        sa.Column("address", sa.String(42), nullable=False),
        sa.Column("address_key", sa.String(42), nullable=False),
        sa.Column("username", sa.Text, nullable=True),
        sa.Column("username_key", sa.Text, nullable=True),
        sa.Column("bio", sa.Text, nullable=False),
        sa.Column("link", sa.Text, nullable=True),
        sa.Column("image", sa.String(40), nullable=True),
        sa.Column("twitter", sa.Text, nullable=True),
        sa.Column("twitter_verified", sa.Boolean, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("modified_at", sa.BigInteger, nullable=False),
    )
    op.create_index("gallery_profiles_address", "gallery_profiles", ["address_key"], unique=True)
    op.create_index("gallery_profiles_username", "gallery_profiles", ["username_key"], unique=True)
    op.create_table(
        "gallery_collections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(16), sa.ForeignKey("gallery_profiles.caller"), nullable=False),
        sa.Column("slug", sa.String(100), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("explicit", sa.Boolean, nullable=False),
        sa.Column("thumbnail", sa.String(40), nullable=True),
        sa.Column("royalty_fee", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("virtual_address", sa.String(42), nullable=False),
        sa.Column("virtual_key", sa.String(42), nullable=False),
        sa.Column("token_count", sa.Integer, nullable=False),
        sa.Column("last_position", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("modified_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("gallery_collections_slug", "gallery_collections", ["slug"], unique=True)
    op.create_index("gallery_collections_virtual", "gallery_collections", ["virtual_key"], unique=True)
    op.create_index("gallery_collections_latest", "gallery_collections", ["status", "explicit", "created_at", "id"])
    op.create_index("gallery_collections_hidden", "gallery_collections", ["status", "explicit", "token_count"])
    op.create_index("gallery_collections_owner", "gallery_collections", ["owner", "created_at", "id"])
    op.create_table(
        "gallery_slugs",
        sa.Column("slug", sa.String(100), primary_key=True),
        sa.Column(
            "collection_id", sa.Integer, sa.ForeignKey("gallery_collections.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("gallery_slugs_collection", "gallery_slugs", ["collection_id"])
    op.create_table(
        "gallery_tokens",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token_id", sa.String(66), nullable=False),
        sa.Column("collection_id", sa.Integer, sa.ForeignKey("gallery_collections.id"), nullable=False),
        sa.Column("owner", sa.String(16), sa.ForeignKey("gallery_profiles.caller"), nullable=False),
        sa.Column("visibility", sa.Integer, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("amount", sa.String(66), nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("moderation_score", sa.Float, nullable=False),
        sa.Column("model", sa.Text, nullable=True),
        sa.Column("workload_id", sa.String(34), nullable=True),
        sa.Column("media_status", sa.String(8), nullable=False),
        sa.Column("media_reason", sa.Text, nullable=True),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("media_type", sa.String(40), nullable=True),
        sa.Column("width", sa.Integer, nullable=True),
        sa.Column("height", sa.Integer, nullable=True),
        sa.Column("frames", sa.Integer, nullable=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=True),
        sa.Column("asset", sa.String(40), nullable=True),
        sa.Column("thumb", sa.String(40), nullable=True),
        sa.Column("preview", sa.String(40), nullable=True),
        sa.Column("poster", sa.String(40), nullable=True),
        sa.Column("listing", sa.Text, nullable=True),
        sa.Column("refresh_requested_at", sa.BigInteger, nullable=True),
        sa.Column("is_prompt_private", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("modified_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("gallery_tokens_token_id", "gallery_tokens", ["token_id"], unique=True)
    op.create_index("gallery_tokens_latest", "gallery_tokens", ["visibility", "created_at", "id"])
    op.create_index("gallery_tokens_collection", "gallery_tokens", ["collection_id", "position", "id"])
    op.create_index("gallery_tokens_owner", "gallery_tokens", ["owner", "created_at", "id"])
    op.create_index("gallery_tokens_media", "gallery_tokens", ["media_status", "modified_at"])
    op.create_table(
        "gallery_provenance",
        sa.Column("token_row", sa.Integer, sa.ForeignKey("gallery_tokens.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("job_id", sa.String(32), nullable=True),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_index("gallery_provenance_job", "gallery_provenance", ["job_id"])
    op.create_table(
        "gallery_objects",
        sa.Column("media_key", sa.String(200), primary_key=True),
        sa.Column("held_at", sa.BigInteger, nullable=False),
    )
    op.create_index("gallery_objects_held", "gallery_objects", ["held_at"])
    op.create_table(
        "gallery_assets",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("media_key", sa.String(200), sa.ForeignKey("gallery_objects.media_key"), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("gallery_assets_object", "gallery_assets", ["media_key"])
    op.create_table(
        "gallery_uploads",
        sa.Column("nonce", sa.String(40), primary_key=True),
        sa.Column("owner", sa.String(16), sa.ForeignKey("gallery_profiles.caller"), nullable=False),
        sa.Column("target", sa.String(16), nullable=False),
        sa.Column("target_id", sa.String(100), nullable=False),
        sa.Column("media_key", sa.String(200), nullable=False),
        sa.Column("max_bytes", sa.BigInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
    )
    op.create_index("gallery_uploads_owner", "gallery_uploads", ["owner", "state"])
    op.create_index("gallery_uploads_target", "gallery_uploads", ["target_id", "state"])
    op.create_index("gallery_uploads_due", "gallery_uploads", ["state", "expires_at"])
    op.create_table(
        "gallery_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(16), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    _create_profiles()


def _create_profiles() -> None:
    """Give every caller with an address a profile."""
    now_ms = time.time_ns() // 1_000_000
    statement = sa.text(
        "INSERT INTO gallery_profiles "
        "(caller, address, address_key, bio, twitter_verified, last_number, created_at, modified_at) "
        "SELECT caller, address, lower(address), '', :no, 0, :now, :now FROM addresses"
    )
    op.get_bind().execute(statement.bindparams(sa.bindparam("no", value=False, type_=sa.Boolean), now=now_ms))


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("gallery_events")
    op.drop_table("gallery_uploads")
    op.drop_table("gallery_assets")
    op.drop_table("gallery_objects")
    op.drop_table("gallery_provenance")
    op.drop_table("gallery_tokens")
    op.drop_table("gallery_slugs")
    op.drop_table("gallery_collections")
    op.drop_table("gallery_profiles")
