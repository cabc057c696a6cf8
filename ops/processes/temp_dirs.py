"""The scratch folders of processes: one each, below DATA_DIR, swept once the process is gone."""

import atexit
import os
import shutil
from pathlib import Path

NAME = "scratch"


def use_own_scratch(data_dir: Path) -> None:
    """Let this process and its children put what is temporary into a folder of its own."""
    sweep_scratch(data_dir)
    own = data_dir / NAME / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    os.environ["TMPDIR"] = str(own)


def sweep_scratch(data_dir: Path) -> None:
    """Remove what processes have left that are no more: by being killed, or because a child of theirs still wrote."""
    scratch = data_dir / NAME
    for folder in scratch.iterdir() if scratch.is_dir() else ():
        if not (folder.name.isdigit() and Path(f"/proc/{folder.name}").exists()):
            shutil.rmtree(folder, ignore_errors=True)
