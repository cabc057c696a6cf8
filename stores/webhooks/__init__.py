"""Webhook subscriptions, deliveries and the outbox."""
