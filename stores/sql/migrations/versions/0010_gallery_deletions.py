"""Objects of the gallery say when their deletion began, so that no transaction lasts as long as the media store."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column; nothing is being deleted."""
    op.add_column("gallery_objects", sa.Column("deleting_since", sa.BigInteger, nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("gallery_objects", "deleting_since")
