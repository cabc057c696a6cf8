"""Atomic file writes."""

import os
import stat
from pathlib import Path

import pytest

from ops.infra.files.atomic_write import atomic_file, create_atomically, write_atomically


def test_a_write_replaces_the_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    """Bytes and text are written; text is UTF-8."""
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, "n\u00e9w", durable=False)

    assert path.read_bytes() == "n\u00e9w".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_old_content(tmp_path: Path) -> None:
    """A failed write removes its temporary file."""
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_created_once(tmp_path: Path) -> None:
    """The second creation fails and changes nothing."""
    path = tmp_path / "file"
    create_atomically(path, "first")
    with pytest.raises(FileExistsError):
        create_atomically(path, "second")

    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_mode_is_that_of_the_caller_under_the_umask(tmp_path: Path) -> None:
    """Secret files are 0600 from their first moment; others follow the umask."""
    previous = os.umask(0o027)
    try:
        write_atomically(tmp_path / "secret", "s", mode=0o600)
        write_atomically(tmp_path / "public", "p")
    finally:
        os.umask(previous)

    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o640


def test_a_name_of_maximum_length_can_be_written(tmp_path: Path) -> None:
    """The temporary file's name does not depend on the file's name."""
    path = tmp_path / ("n" * 255)
    write_atomically(path, "content")

    assert path.read_text() == "content"
