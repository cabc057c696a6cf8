"""Temporary directories: one per process below ``DATA_DIR/scratch``, removed once the process is gone."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from ops.infra.files.private_files import make_private_folder
from ops.infra.setting_parsers import SettingsError

TEMP_DIR = "scratch"


def use_private_temp_dir(data_dir: Path) -> None:
    """Create a temporary directory for this process and its children, by ``TMPDIR``; removed at exit.

    It is below the data folder, or where the system has temporary files if that cannot be written.

    Raises:
        SettingsError: neither can be written.
    """
    path = data_dir / TEMP_DIR / str(os.getpid())
    try:
        remove_stale_temp_dirs(data_dir)
        make_private_folder(path)
    except OSError:
        path = _system_temp_dir()
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.environ["TMPDIR"] = str(path)


def remove_stale_temp_dirs(data_dir: Path) -> None:
    """Remove the directories of dead processes.

    They remain when a process is killed, or when a child still writes while its parent removes the directory.
    """
    parent = data_dir / TEMP_DIR
    for path in parent.iterdir() if parent.is_dir() else ():
        if not (path.name.isdigit() and Path(f"/proc/{path.name}").exists()):
            shutil.rmtree(path, ignore_errors=True)


def _system_temp_dir() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="darkroom-"))
    except OSError as error:
        raise SettingsError(
            f"TMPDIR: neither it nor DATA_DIR is writable ({error.strerror}); browsers and pictures need a folder."
        ) from error
