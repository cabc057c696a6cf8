"""Addresses of callers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "addresses",
        sa.Column("caller", sa.String(16), primary_key=True),
        sa.Column("address", sa.String(42), nullable=False, unique=True),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("addresses")
