"""The contract: records and request schemas shared by all processes; no I/O."""
