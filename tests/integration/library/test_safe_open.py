"""Opening files of the library: what lies inside its roots, and nothing else, whoever moves things meanwhile."""

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

SECRET = b"nobody's business"


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """Two roots, a folder whose name begins as theirs, and one outside."""
    for name in ("models", "more", "models-private", "outside"):
        (tmp_path / name / "loras").mkdir(parents=True)
        (tmp_path / name / "loras" / "a.safetensors").write_bytes(SECRET if "-" in name else name.encode())
    (tmp_path / "outside" / "loras" / "a.safetensors").write_bytes(SECRET)
    return [tmp_path / "models", tmp_path / "more"]


def content(opened: OpenFile) -> bytes:
    """What is in it; it is closed."""
    with opened:
        return os.pread(opened.fd, 1000, 0)


def descriptors() -> int:
    """How many this process has."""
    return psutil.Process().num_fds()


def test_a_file_is_opened_with_what_tells_it_from_others(roots: list[Path]) -> None:
    """Size, time, inode; where it really is, and in which root."""
    path = roots[0] / "loras" / "a.safetensors"
    seen = path.stat()
    with open_within(roots[0], b"loras/a.safetensors", roots) as opened:
        told = (opened.size_bytes, opened.mtime_ns, opened.inode, opened.path, opened.root_index, opened.relative_path)
        assert opened.is_unchanged()
        path.write_bytes(b"longer than before")
        assert not opened.is_unchanged()

    assert told == (6, seen.st_mtime_ns, seen.st_ino, os.fsencode(path), 0, b"loras/a.safetensors")
    with pytest.raises(ValueError, match="closed"):
        _ = opened.fd
    opened.close()


@pytest.mark.parametrize(
    "name",
    [b"n\xe9t.safetensors", b"two\nlines.gguf", b'q"uo\\te.gguf', "\u202e絵.gguf".encode(), b" ", b"-rf", b"%2e"],
)
def test_any_name_that_a_file_can_have_is_opened(roots: list[Path], name: bytes) -> None:
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
def test_a_path_that_leads_out_or_to_no_file_is_refused(roots: list[Path], relative: bytes) -> None:
    """403, also if it would lead back in."""
    with pytest.raises(PathNotAllowed):
        open_within(roots[0], relative, roots)


@pytest.mark.parametrize(
    "relative", [b"loras/b.safetensors", b"loras/a.safetensors/x", b"a\x00b", b"x" * 300, b"x/" * 5000, b"%2e%2e/x"]
)
def test_what_is_not_there_is_not_found(roots: list[Path], relative: bytes) -> None:
    """404, also for names that no file can have."""
    with pytest.raises(NotFound):
        open_within(roots[0], relative, roots)


def test_a_link_may_lead_into_any_root_and_nowhere_else(roots: list[Path]) -> None:
    """A folder whose name begins like a root's is not inside it."""
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


def test_a_root_may_be_a_link_itself(roots: list[Path]) -> None:
    """Whoever runs Darkroom has said so."""
    linked = roots[0].parent / "linked"
    linked.symlink_to(roots[0])

    assert content(open_within(linked, b"loras/a.safetensors", [linked])) == b"models"


def test_only_regular_files_are_opened_and_nothing_is_waited_for(roots: list[Path]) -> None:
    """A pipe without a writer, a socket, a device."""
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
def test_what_is_swapped_after_the_check_is_not_opened(
    roots: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    swap: Callable[[list[Path]], None],
    error: type[Exception] | tuple[type[Exception], ...],
) -> None:
    """Between looking where the path leads and opening it."""
    checked = safe_open._root_of

    def _then_swapped(*words: object) -> tuple[int, bytes]:
        found = checked(*words)  # type: ignore[arg-type] # as it was called
        swap(roots)
        return found

    monkeypatch.setattr(safe_open, "_root_of", _then_swapped)
    before = descriptors()

    with pytest.raises(error):
        open_within(roots[0], b"loras/a.safetensors", roots)

    assert before == descriptors()


def test_what_becomes_a_pipe_at_the_very_last_is_not_read(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was opened is looked at once more, and let go."""
    regular = safe_open._require_regular
    swapped = threading.Event()

    def _then_swapped(seen: os.stat_result) -> None:
        regular(seen)
        if not swapped.is_set():
            swapped.set()
            _becomes_a_pipe(roots)

    monkeypatch.setattr(safe_open, "_require_regular", _then_swapped)
    before = descriptors()

    with pytest.raises(PathNotAllowed):
        open_within(roots[0], b"loras/a.safetensors", roots)

    assert swapped.is_set()
    assert before == descriptors()


def test_whoever_swaps_all_the_time_never_gets_what_is_outside(roots: list[Path]) -> None:
    """A file and a link in turns, as fast as can be."""
    place, spare = roots[0] / "loras" / "a.safetensors", roots[0] / "loras" / "spare"
    stop = threading.Event()

    def _swap() -> None:
        while not stop.is_set():
            spare.symlink_to(roots[0].parent / "outside" / "loras" / "a.safetensors")
            spare.rename(place)
            spare.write_bytes(b"models")
            spare.rename(place)

    swapping = threading.Thread(target=_swap)
    swapping.start()
    found = []
    for _ in range(1500):
        try:
            found.append(content(open_within(roots[0], b"loras/a.safetensors", roots)))
        except PathNotAllowed:
            found.append(b"refused")
    stop.set()
    swapping.join()

    assert {b"models", b"refused"} == set(found)


def test_a_process_without_descriptors_says_so(roots: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """503 and not 404: the file is there."""

    def _none_left(*_words: object, **_names: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(safe_open.os, "open", _none_left)
    with pytest.raises(Unavailable, match="Too many open files"):
        open_within(roots[0], b"loras/a.safetensors", roots)
