"""The folders of the library, by the machines whose MODELS_DIR names them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create the table; the next indexer fills it."""
    op.create_table(
        "library_roots",
        sa.Column("root", sa.Text, primary_key=True),
        sa.Column("machine", sa.String(64), primary_key=True),
        sa.Column("named_at", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("library_roots")
