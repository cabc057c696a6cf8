"""Webhooks: subscriptions, retry policy, signing, target URLs."""
