"""Fingerprints of the settings that all processes of an installation share."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the table; the next process that starts fills it."""
    op.create_table(
        "shared_settings",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("salt", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("recorded_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("shared_settings")
