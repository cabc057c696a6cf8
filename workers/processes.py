"""Owns the browser's processes as the operating system sees them: which they are, what they hold, how they are killed.

Used by ``workers.browsers``; a browser is known by the mark that it was started with.
"""

import contextlib

import psutil

# Chromium takes no notice of an option that it does not know.
MARK = "--darkroom-browser="


def processes_of(mark: str) -> list[psutil.Process]:
    """The browser started with ``mark`` and its descendants, among this process's own."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if mark in process.cmdline() and "--type=" not in " ".join(process.cmdline()):
                return [process, *process.children(recursive=True)]
    return []


def memory_of(mark: str) -> int:
    """Bytes held by the browser started with ``mark``, shared pages counted in part."""
    total = 0
    for process in processes_of(mark):
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", 0) or memory.rss
    return total


def kill(mark: str) -> None:
    """Kill the browser started with ``mark`` and all its descendants."""
    for process in processes_of(mark):
        with contextlib.suppress(psutil.Error):
            process.kill()
