"""Owns the SQL tables, as SQLAlchemy Core describes them; ``migrations`` brings a database up to them.

Used by the stores that keep things for good.
"""

from sqlalchemy import BigInteger, Column, MetaData, String, Table, Text

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

sessions = Table(
    "site_sessions",
    metadata,
    Column("site", String(40), primary_key=True),
    Column("state", Text, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)

consents = Table(
    "site_consents",
    metadata,
    Column("site", String(40), primary_key=True),
    Column("terms_url", Text, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
)

addresses = Table(
    "addresses",
    metadata,
    Column("caller", String(16), primary_key=True),
    Column("address", String(42), nullable=False, unique=True),
)
