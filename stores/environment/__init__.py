"""What a process finds where it runs: the folders that it needs, and settings that it shares with all others."""
