"""Deliveries are found by job, state, webhook and end, also among millions, and may have more than 2^31 attempts.

On PostgreSQL, changing the type writes the table of attempts anew, and making an index keeps others from writing: about
a minute for ten million deliveries. Versions before this one work with the tables.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

INDEXES = {
    "deliveries_of_job": ["job_id"],
    "deliveries_of_owner_by_state": ["owner", "state", "created_at", "id"],
    "deliveries_of_webhook_by_time": ["webhook", "created_at", "id"],
    "deliveries_ended": ["state", "finished_at"],
}


def upgrade() -> None:
    """Make the indexes. SQLite's integers have 64 bits anyway."""
    for name, columns in INDEXES.items():
        op.create_index(name, "deliveries", columns)
    _set_attempt_type(sa.BigInteger(), "bigint")


def downgrade() -> None:
    """Drop the indexes."""
    _set_attempt_type(sa.Integer(), "integer")
    for name in INDEXES:
        op.drop_index(name, "deliveries")


def _set_attempt_type(column_type: sa.types.TypeEngine[int], sequence_type: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("delivery_attempts", "id", type_=column_type)
        op.execute(f"ALTER SEQUENCE delivery_attempts_id_seq AS {sequence_type}")
