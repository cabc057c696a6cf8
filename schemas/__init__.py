"""The contract: what travels between processes and to clients."""
