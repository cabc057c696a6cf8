"""The SQL tables of keys, sites and webhooks. ``stores.sql.migrations`` creates them."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

api_keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    Column("scopes", Text, nullable=False),
    Column("limits", Text, nullable=False),
    Column("plan", String(40), nullable=True),
)

site_credentials = Table(
    "site_sessions",
    metadata,
    Column("site", String(40), primary_key=True),
    Column("state", Text, nullable=False),
    Column("kept_at", BigInteger, nullable=False),
)

accepted_terms = Table(
    "site_consents",
    metadata,
    Column("site", String(40), primary_key=True),
    Column("terms_url", Text, nullable=False),
    Column("accepted_at", BigInteger, nullable=False),
)

# Fingerprints of the settings that all processes share, see ``stores.environment.shared_settings``.
shared_settings = Table(
    "shared_settings",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("salt", String(64), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
)

wallet_addresses = Table(
    "addresses",
    metadata,
    Column("caller", String(16), primary_key=True),
    Column("address", String(42), nullable=False, unique=True),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(16), nullable=False),
    Column("url", Text, nullable=False),
    Column("types", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("old_secret", Text, nullable=True),
    Column("old_secret_until", BigInteger, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger, nullable=True),
    Column("disabled_because", String(16), nullable=True),
    Column("failing_since", BigInteger, nullable=True),
    Index("webhooks_of_owner", "owner"),
)

# ``webhook`` is NULL for the callback URL of a job. It has no foreign key: deliveries outlive their webhook.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("owner", String(16), nullable=False),
    Column("webhook", String(40), nullable=True),
    Column("job_id", String(32), nullable=True),
    Column("url", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=True),
    Column("reason", Text, nullable=True),
    Index("deliveries_due", "state", "destination", "next_at"),
    Index("deliveries_of_owner", "owner", "created_at", "id"),
    Index("deliveries_of_webhook", "webhook", "state"),
    Index("deliveries_of_job", "job_id"),
    Index("deliveries_of_owner_by_state", "owner", "state", "created_at", "id"),
    Index("deliveries_of_webhook_by_time", "webhook", "created_at", "id"),
    Index("deliveries_ended", "state", "finished_at"),
    Index("deliveries_of_webhook_by_state", "webhook", "state", "created_at", "id"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    # SQLite generates only keys of this type, which has 64 bits there.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("delivery", String(40), ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("status", Integer, nullable=True),
    Column("error", Text, nullable=True),
    Column("excerpt", Text, nullable=False),
    Index("attempts_of_delivery", "delivery"),
)
