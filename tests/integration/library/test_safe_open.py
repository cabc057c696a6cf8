"""Opening library files: only regular files inside the roots, even if files are replaced meanwhile."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from schemas.errors import NotFound, PathNotAllowed, Unavailable
from stores.library import safe_open
from stores.library.safe_open import OpenFile, open_within

SECRET = b"secret"


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two roots, a folder with a root's name as prefix, and a folder outside."""
    for name in ("models", "more", "models-private", "outside"):
        (tmp_path / name / "loras").mkdir(parents=True)
        (tmp_path / name / "loras" / "a.safetensors").write_bytes(SECRET if "-" in name else name.encode())
    (tmp_path / "outside" / "loras" / "a.safetensors").write_bytes(SECRET)
    return [tmp_path / "models", tmp_path / "more"]


def content(opened: OpenFile) -> bytes:
    """Read and close a file."""
    with opened:
        return os.pread(opened.fd, 1000, 0)


def descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return psutil.Process().num_fds()


def test_an_open_file_has_its_identity(roots: list[Path]) -> None:
    """It has size, time and inode, its real path, and its root."""
    path = roots[0] / "loras" / "a.safetensors"
    status = path.stat()
    with open_within(roots[0], b"loras/a.safetensors", roots) as opened:
        identity = (
            opened.size_bytes,
            opened.mtime_ns,
            opened.inode,
            opened.path,
            opened.root_index,
            opened.relative_path,
        )
        assert opened.is_unchanged()
        path.write_bytes(b"longer than before")
        assert not opened.is_unchanged()

    assert identity == (6, status.st_mtime_ns, status.st_ino, os.fsencode(path), 0, b"loras/a.safetensors")
    with pytest.raises(ValueError, match="closed"):
        _ = opened.fd
    opened.close()


@pytest.mark.parametrize(
    "name",
    [b"n\xe9t.safetensors", b"two\nlines.gguf", b'q"uo\\te.gguf', "\u202e絵.gguf".encode(), b" ", b"-rf", b"%2e"],
)
def test_any_file_name_can_be_opened(roots: list[Path], name: bytes) -> None:
    """Names are bytes."""
    Path(os.fsdecode(os.fsencode(roots[1]) + b"/" + name)).write_bytes(name)

    assert content(open_within(roots[1], name, roots)) == name


@pytest.mark.parametrize(
    "relative",
    [
        b"../models-private/loras/a.safetensors",
        b"loras/../../outside/loras/a.safetensors",
        b"loras/../loras/a.safetensors",
        b"..",
        b"/etc/passwd",
        b"//etc/passwd",
        b"",
        b".",
        b"loras",
        b"loras/",
    ],
)
def test_paths_out_of_the_root_or_to_folders_are_refused(roots: list[Path], relative: bytes) -> None:
    """They are a 403, even if they lead back into the root."""
    with pytest.raises(PathNotAllowed):
        open_within(roots[0], relative, roots)


@pytest.mark.parametrize(
    "relative", [b"loras/b.safetensors", b"loras/a.safetensors/x", b"a\x00b", b"x" * 300, b"x/" * 5000, b"%2e%2e/x"]
)
def test_missing_and_impossible_names_are_not_found(roots: list[Path], relative: bytes) -> None:
    """They are a 404."""
    with pytest.raises(NotFound):
        open_within(roots[0], relative, roots)


def test_links_may_lead_into_roots_only(roots: list[Path]) -> None:
    """A folder with a root's name as prefix is not inside the root."""
    links = roots[0] / "links"
    links.mkdir()
    outside = roots[0].parent / "outside"
    for name, target in {
        "within": roots[0] / "loras" / "a.safetensors",
        "relative": Path("../loras/a.safetensors"),
        "folder": roots[1] / "loras",
        "out": outside / "loras" / "a.safetensors",
        "beside": roots[0].parent / "models-private" / "loras" / "a.safetensors",
        "outfolder": outside / "loras",
        "nowhere": Path("nowhere-at-all"),
        "loop": Path("loop"),
        "proc": Path("/proc/self/environ"),
    }.items():
        (links / name).symlink_to(target)

    assert content(open_within(roots[0], b"links/within", roots)) == b"models"
    assert content(open_within(roots[0], b"links/relative", roots)) == b"models"
    with open_within(roots[0], b"links/folder/a.safetensors", roots) as other:
        assert (other.root_index, other.relative_path) == (1, b"loras/a.safetensors")
    for name in (b"out", b"beside", b"outfolder/a.safetensors", b"loop", b"proc"):
        with pytest.raises(PathNotAllowed):
            open_within(roots[0], b"links/" + name, roots)
    with pytest.raises(NotFound):
        open_within(roots[0], b"links/nowhere", roots)
    with pytest.raises(PathNotAllowed):
        open_within(roots[0], b"links/folder/a.safetensors", roots[:1])


def test_a_root_may_be_a_link(roots: list[Path]) -> None:
    """The operator has chosen it."""
    linked = roots[0].parent / "linked"
    linked.symlink_to(roots[0])

    assert content(open_within(linked, b"loras/a.safetensors", [linked])) == b"models"


def test_only_regular_files_are_opened(roots: list[Path]) -> None:
    """Pipes, sockets and devices are refused, and opening a pipe does not block."""
    os.mkfifo(roots[0] / "pipe")
    (roots[0] / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(roots[0] / "socket"))
        for name in (b"pipe", b"socket", b"device"):
            with pytest.raises(PathNotAllowed):
                open_within(roots[0], name, roots)
    with pytest.raises(PathNotAllowed):
        open_within(Path("/dev"), b"zero", [Path("/dev")])


def _becomes_a_link(roots: list[Path]) -> None:
    path = roots[0] / "loras" / "a.safetensors"
    path.unlink()
    path.symlink_to(roots[0].parent / "outside" / "loras" / "a.safetensors")


def _folder_becomes_a_link(roots: list[Path]) -> None:
    (roots[0] / "loras").rename(roots[0] / "gone")
    (roots[0] / "loras").symlink_to(roots[0].parent / "outside" / "loras")


def _becomes_a_pipe(roots: list[Path]) -> None:
    (roots[0] / "loras" / "a.safetensors").unlink()
    os.mkfifo(roots[0] / "loras" / "a.safetensors")


def _vanishes(roots: list[Path]) -> None:
    (roots[0] / "loras" / "a.safetensors").unlink()


@pytest.mark.parametrize(
    ("swap", "error"),
    [
        (_becomes_a_link, PathNotAllowed),
        (_folder_becomes_a_link, (PathNotAllowed, NotFound)),
        (_becomes_a_pipe, PathNotAllowed),
        (_vanishes, NotFound),
    ],
)
def test_a_file_replaced_after_the_check_is_not_opened(
    roots: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[list[Path]], None],
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    """The file is replaced between resolving its path and opening it (TOCTOU)."""
    checked = safe_open._root_of

    def _then_swapped(*args: object) -> tuple[int, bytes]:
        result = checked(*args)  # type: ignore[arg-type] # passed on unchanged
        swap(roots)
        return result

    monkeypatch.setattr(safe_open, "_root_of", _then_swapped)
    before = descriptors()

    with pytest.raises(error):
        open_within(roots[0], b"loras/a.safetensors", roots)

    assert before == descriptors()


def test_a_file_replaced_by_a_pipe_before_open_is_not_read(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The opened file is checked again and closed."""
    regular = safe_open._require_regular
    swapped = threading.Event()

    def _then_swapped(status: os.stat_result) -> None:
        regular(status)
        if not swapped.is_set():
            swapped.set()
            _becomes_a_pipe(roots)

    monkeypatch.setattr(safe_open, "_require_regular", _then_swapped)
    before = descriptors()

    with pytest.raises(PathNotAllowed):
        open_within(roots[0], b"loras/a.safetensors", roots)

    assert swapped.is_set()
    assert before == descriptors()


def test_a_race_never_opens_a_file_outside(roots: list[Path]) -> None:
    """A file and a link are swapped as fast as possible meanwhile."""
    path, spare = roots[0] / "loras" / "a.safetensors", roots[0] / "loras" / "spare"
    stop = threading.Event()

    def _swap() -> None:
        while not stop.is_set():
            spare.symlink_to(roots[0].parent / "outside" / "loras" / "a.safetensors")
            spare.rename(path)
            spare.write_bytes(b"models")
            spare.rename(path)

    swapping = threading.Thread(target=_swap)
    swapping.start()
    contents = []
    for _ in range(1500):
        try:
            contents.append(content(open_within(roots[0], b"loras/a.safetensors", roots)))
        except PathNotAllowed:
            contents.append(b"refused")
    stop.set()
    swapping.join()

    assert {b"models", b"refused"} == set(contents)


def test_running_out_of_descriptors_is_unavailable(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The status is 503 and not 404, because the file exists."""

    def _none_left(*_args: object, **_kwargs: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(safe_open.os, "open", _none_left)
    with pytest.raises(Unavailable, match="Too many open files"):
        open_within(roots[0], b"loras/a.safetensors", roots)
