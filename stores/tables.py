"""Owns the SQL tables, as SQLAlchemy Core describes them; ``migrations`` brings a database up to them.

Used by the stores that keep things for good.
"""

from sqlalchemy import BigInteger, Column, MetaData, String, Table

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
)
