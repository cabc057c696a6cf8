"""Finds, measures and kills browser processes through the operating system, for browsers that no longer answer.

A browser is found by a marker on its command line, an option of the form ``--darkroom-browser=ID``.
"""

import contextlib

import psutil

# Chromium ignores unknown options.
MARKER_OPTION = "--darkroom-browser="


def cmdline(process: psutil.Process) -> list[str]:
    """Return the command line of a process; empty if the process has ended."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def find_browser_processes(marker: str) -> list[psutil.Process]:
    """Return the browser started with ``marker`` and its descendants, searching the children of this process."""
    for process in psutil.Process().children(recursive=True):
        if is_browser(cmdline(process), marker):
            with contextlib.suppress(psutil.Error):
                return [process, *process.children(recursive=True)]
    return []


def is_browser(args: list[str], marker: str) -> bool:
    """Whether a command line is the main process of the browser started with ``marker``, not a renderer or the like."""
    # Chromium copies the options of the main process to its helpers and adds "--type=renderer" or the like.
    return marker in args and not any(arg.startswith("--type=") for arg in args)


def measure_memory(marker: str) -> int:
    """Return the bytes that the browser's processes use: proportional set size where available, else resident size."""
    total = 0
    for process in find_browser_processes(marker):
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", 0) or memory.rss
    return total


def kill_browser(marker: str) -> None:
    """Kill the browser started with ``marker`` and all its descendants."""
    for process in find_browser_processes(marker):
        with contextlib.suppress(psutil.Error):
            process.kill()
