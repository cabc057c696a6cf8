"""Logins of sites, encrypted, and accepted terms."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "site_sessions",
        sa.Column("site", sa.String(40), primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "site_consents",
        sa.Column("site", sa.String(40), primary_key=True),
        sa.Column("terms_url", sa.Text, nullable=False),
        sa.Column("accepted_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("site_consents")
    op.drop_table("site_sessions")
