"""The contract: what travels between processes and to clients.

Called by every other package; imports nothing of ours, does no I/O and reads no clock.
"""
