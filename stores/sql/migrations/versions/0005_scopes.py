"""What a key may do, how much, and its plan."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns; keys that there are keep what they could do."""
    op.add_column("keys", sa.Column("scopes", sa.Text, nullable=False, server_default="read generate library gallery"))
    op.add_column("keys", sa.Column("limits", sa.Text, nullable=False, server_default=""))
    op.add_column("keys", sa.Column("plan", sa.String(40), nullable=True))


def downgrade() -> None:
    """Drop the columns."""
    for name in ("scopes", "limits", "plan"):
        op.drop_column("keys", name)
