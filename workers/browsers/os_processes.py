"""The browser's processes as the operating system sees them: which they are, what they hold, how they are killed."""

import contextlib

import psutil

# Chromium takes no notice of an option that it does not know.
MARKER_OPTION = "--darkroom-browser="


def cmdline(process: psutil.Process) -> list[str]:
    """The command line of a process; none of one that has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def find_browser_processes(marker: str) -> list[psutil.Process]:
    """The browser started with ``mark`` and its descendants, among this process's own."""
    for process in psutil.Process().children(recursive=True):
        if is_browser(cmdline(process), marker):
            with contextlib.suppress(psutil.Error):
                return [process, *process.children(recursive=True)]
    return []


def is_browser(args: list[str], marker: str) -> bool:
    """Whether a command line is that of the browser started with ``mark`` itself, not of one of its helpers."""
    return marker in args and not any(word.startswith("--type=") for word in args)


def measure_memory(marker: str) -> int:
    """Bytes held by the browser started with ``mark``, shared pages counted in part."""
    total = 0
    for process in find_browser_processes(marker):
        with contextlib.suppress(psutil.Error):
            memory = process.memory_full_info()
            total += getattr(memory, "pss", 0) or memory.rss
    return total


def kill_browser(marker: str) -> None:
    """Kill the browser started with ``mark`` and all its descendants."""
    for process in find_browser_processes(marker):
        with contextlib.suppress(psutil.Error):
            process.kill()
