"""Callers: scopes, limits, rate-limit policies, session requests."""
