"""Files that survive a crash while they are written, and that only their owner reads."""
