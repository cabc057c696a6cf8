"""API keys, the owner key, sessions, quotas, rate limits."""
