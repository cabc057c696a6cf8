"""Redis: scripts, key names, pub/sub, single-flight."""
