"""Checks of a process's environment: the folders that it needs, and the settings that all processes share."""
