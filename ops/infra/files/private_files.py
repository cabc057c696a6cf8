"""Permissions of what Darkroom stores: folders 0700 and files 0600, whatever the umask of the process's parent is.

The data folder holds keys, prompts and pictures. Long-running processes set their umask. Commands do not, because they
also write files for their user; for them, the folders and files that they may create first are made here.
"""

import contextlib
import os
import stat
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
PRIVATE_UMASK = 0o077
# What earlier versions, or other processes, may have left readable in the data folder. Other entries are the user's.
DATA_ENTRIES = (
    "darkroom.sqlite3",
    "darkroom.sqlite3-wal",
    "darkroom.sqlite3-shm",
    "media",
    "appendonlydir",
    "redis.log",
    "scratch",
    "running.json",
    "up.lock",
)


def set_private_umask() -> None:
    """Make every file that this process and its children create private."""
    os.umask(PRIVATE_UMASK)


def make_private_folder(folder: Path) -> None:
    """Create a folder that no other user can enter, with its parents if necessary; leave an existing one as it is."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        # Another process may create it at the same time.
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)


def make_private_file(path: Path) -> None:
    """Create an empty file that no other user can read, or take the permissions of others from an existing one."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
    except FileExistsError:
        # An existing file is not opened: closing it would drop the locks that SQLite holds on it in this process.
        make_private(path)


def prepare_data_folder(folder: Path) -> None:
    """Create the data folder, or take the permissions of others from an existing one.

    A shared folder such as ``/tmp`` keeps its permissions: only its users can know what they need.
    """
    make_private_folder(folder)
    if not folder.stat().st_mode & stat.S_ISVTX:
        make_private(folder)


def restrict_stored_files(data_folder: Path) -> None:
    """Take the permissions of others from everything that Darkroom has stored in the data folder; follows no links."""
    for entry in DATA_ENTRIES:
        make_private(data_folder / entry)
        for path, folders, files in os.walk(data_folder / entry):
            for name in (*folders, *files):
                make_private(Path(path) / name)


def make_private(path: Path) -> None:
    """Take the permissions of others from a file or folder, if it exists and belongs to this user."""
    # A file may vanish meanwhile, and one that belongs to another user is not ours to change.
    with contextlib.suppress(FileNotFoundError, PermissionError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & PRIVATE_UMASK:
            path.chmod(stat.S_IMODE(mode) & ~PRIVATE_UMASK)
