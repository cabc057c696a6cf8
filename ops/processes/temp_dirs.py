"""The scratch folders of processes: one each, below DATA_DIR, swept once the process is gone."""

import atexit
import os
import shutil
from pathlib import Path

TEMP_DIR = "scratch"


def use_private_temp_dir(data_dir: Path) -> None:
    """Let this process and its children put what is temporary into a folder of its own."""
    remove_stale_temp_dirs(data_dir)
    own = data_dir / TEMP_DIR / str(os.getpid())
    own.mkdir(parents=True, exist_ok=True)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    os.environ["TMPDIR"] = str(own)


def remove_stale_temp_dirs(data_dir: Path) -> None:
    """Remove what processes have left that are no more: by being killed, or because a child of theirs still wrote."""
    scratch = data_dir / TEMP_DIR
    for folder in scratch.iterdir() if scratch.is_dir() else ():
        if not (folder.name.isdigit() and Path(f"/proc/{folder.name}").exists()):
            shutil.rmtree(folder, ignore_errors=True)
