"""The entry point of the library's commands: ``python -m workers.library scan``."""

import signal
import sys

from workers.library.cli.commands import library

ENDED_EXIT_CODE = 143

if __name__ == "__main__":
    # What is held is given back.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED_EXIT_CODE))
    library(prog_name="darkroom library")
