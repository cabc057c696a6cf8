"""Runs a Python module with a wrong system clock: ``python -m ops.testbed.skewed_clock FILE MODULE ARGUMENT...``.

FILE holds the seconds by which the clock is wrong, as a double. A test may change them at any time, as a person who
sets the clock of a machine does. Only ``time.time`` and ``time.time_ns`` are wrong: processes of different machines
could compare these, while a machine's steady clocks are its own.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

SECONDS = struct.Struct("d")
NS_PER_S = 1_000_000_000


def write_offset(path: Path, seconds: float) -> None:
    """Make the clocks of the processes that read ``path`` wrong by so many seconds."""
    # In place: the processes have mapped this very file.
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.write(SECONDS.pack(seconds))


def skew_clock(path: Path) -> None:
    """Skew the clock of this process, and of processes that it forks, by the offset in the file ``path``."""
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), SECONDS.size, access=mmap.ACCESS_READ)
    real_time, real_time_ns = time.time, time.time_ns

    def read_offset() -> float:
        seconds: float = SECONDS.unpack(offset[: SECONDS.size])[0]
        return seconds

    time.time = lambda: real_time() + read_offset()
    time.time_ns = lambda: real_time_ns() + round(read_offset() * NS_PER_S)


def main() -> None:
    """Skew the clock and become the module."""
    _, file, module, *arguments = sys.argv
    skew_clock(Path(file))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
