"""The index of a caller's tokens includes their visibility, so that filtered lists skip nothing."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the index again."""
    op.drop_index("gallery_tokens_owner", "gallery_tokens")
    op.create_index("gallery_tokens_owner", "gallery_tokens", ["owner", "visibility", "created_at", "id"])


def downgrade() -> None:
    """Make it as it was."""
    op.drop_index("gallery_tokens_owner", "gallery_tokens")
    op.create_index("gallery_tokens_owner", "gallery_tokens", ["owner", "created_at", "id"])
