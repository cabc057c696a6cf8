"""The worker's browser: pool, launchers, Playwright process, egress proxy."""
