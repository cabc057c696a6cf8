"""The walk over the library's folders: every model file, with what tells whether it or anything beside it changed.

Paths are bytes, for a file's name need not be text. Nothing is opened here.
"""

import contextlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from schemas.library.scan_records import KINDS, Found, Problem
from schemas.library.sidecars import civitdl_ids
from schemas.library.sidecars.civitdl import model_dict_of

EXTRA_FOLDER = b"extra_data-"
MODEL_ENDINGS = tuple(ending.encode() for ending in KINDS)
# What may stand between a model's name and the ending of a file that belongs to it.
INFIXES = frozenset({b"preview", b"civitai", b"metadata", b"cm-info", b"api_info"})
COMPANION_ENDINGS = frozenset({b"info", b"json", b"png", b"jpg", b"jpeg", b"webp", b"gif"})
DIGEST_BYTES = 16
DEEPEST = 40
# What a database keeps an index of has no more.
LONGEST_PATH = 1500


class Beside(NamedTuple):
    """A file or folder beside a model, and when it was last written to."""

    name: bytes
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class Folder:
    """What lies in one folder: models, what may belong to them by its name, and the folders of downloaders."""

    models: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    beside: defaultdict[bytes, list[Beside]] = field(default_factory=lambda: defaultdict(list))
    extras: dict[bytes, int] = field(default_factory=dict)
    inner: list[bytes] = field(default_factory=list)


class Walk:
    """A walk below one root, or below a part of it."""

    def __init__(self, root: Path, roots: Sequence[Path]) -> None:
        """``roots`` are all folders of the library: where links may lead."""
        self._root = os.fsencode(root)
        self._allowed = tuple(os.path.realpath(os.fsencode(one)) for one in roots)
        self._entered: set[tuple[int, int]] = set()
        self._hidden: list[bytes] = []
        self.problems: list[Problem] = []

    def run(self, below: bytes = b"") -> Iterator[Found]:
        """Every model file below ``below``, which is a path below the root."""
        with contextlib.suppress(OSError):
            about = os.stat(self._root)
            self._entered.add((about.st_dev, about.st_ino))
        waiting = [(below, 0)]
        while waiting:
            path, depth = waiting.pop()
            folder = self._read(path)
            yield from self._found(path, folder)
            if depth < DEEPEST:
                waiting += [(_join(path, name), depth + 1) for name in sorted(folder.inner, reverse=True)]

    def is_hidden(self, path: bytes) -> bool:
        """Whether a path lies in a folder that could not be read: nobody knows whether it is still there."""
        return any(not folder or path.startswith(folder + b"/") for folder in self._hidden)

    def _read(self, path: bytes) -> Folder:
        folder = Folder()
        try:
            entries = os.scandir(os.path.join(self._root, path) if path else self._root)
        except OSError as error:
            if path and isinstance(error, FileNotFoundError):
                return folder
            self._hidden.append(path)
            self._report(path, "unreadable", f"The folder cannot be read: {error.strerror}.")
            return folder
        try:
            with entries:
                for entry in entries:
                    self._sort(path, entry, folder)
        except OSError as error:
            # A disk that fails in the midst of it: what has not been told may be there.
            self._hidden.append(path)
            self._report(path, "unreadable", f"The folder cannot be read to its end: {error.strerror}.")
        return folder

    def _sort(self, path: bytes, entry: "os.DirEntry[bytes]", folder: Folder) -> None:
        name = entry.name
        if name.startswith(b"."):
            return
        if len(path) + len(name) >= LONGEST_PATH:
            self._report(_join(path, name)[:LONGEST_PATH], "path_too_long", "Its path is too long; not looked at.")
            return
        try:
            if entry.is_symlink() and not self._leads_inside(path, entry):
                return
            if entry.is_dir():
                self._sort_folder(path, entry, folder)
            elif entry.is_file():
                _sort_file(name, entry.stat(), folder)
        except OSError as error:
            self._report(_join(path, name), "unreadable", f"It cannot be looked at: {error.strerror}.")

    def _sort_folder(self, path: bytes, entry: "os.DirEntry[bytes]", folder: Folder) -> None:
        about = entry.stat()
        if entry.name.startswith(EXTRA_FOLDER):
            folder.extras[entry.name] = about.st_mtime_ns
            return
        if entry.is_symlink() and self._is_walked(path, entry):
            # It is found where it lies, whichever part of the root is walked.
            return
        place = (about.st_dev, about.st_ino)
        # A link may lead to a folder that contains it.
        if place not in self._entered:
            self._entered.add(place)
            folder.inner.append(entry.name)

    def _is_walked(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        """Whether a link leads to a folder that a walk of all of this root goes into by itself."""
        inside = _inside(os.path.realpath(os.path.join(self._root, path, entry.name)), os.path.realpath(self._root))
        return inside is not None and _is_open(inside)

    def _leads_inside(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        target = os.path.realpath(os.path.join(self._root, path, entry.name))
        if any(target == root or target.startswith(root + b"/") for root in self._allowed):
            return True
        if entry.is_dir() or entry.name.lower().endswith(MODEL_ENDINGS):
            self._report(
                _join(path, entry.name), "outside", "The link leads out of the library's folders; not followed."
            )
        return False

    def _found(self, path: bytes, folder: Folder) -> Iterator[Found]:
        for name, about in sorted(folder.models, key=lambda model: model[0]):
            stem = name.rpartition(b".")[0]
            beside = folder.beside.get(stem.lower(), [])
            extra = self._extra_of(path, stem, folder)
            yield Found(
                root=os.fsdecode(self._root),
                path=_join(path, name),
                inode=about.st_ino,
                size_bytes=about.st_size,
                mtime_ns=about.st_mtime_ns,
                companions=_digest([*beside, *extra]),
                beside=tuple(one.name for one in (*beside, *extra)),
            )

    def _extra_of(self, path: bytes, stem: bytes, folder: Folder) -> list[Beside]:
        """The folder that a downloader has put beside the model: its time changes with what is added and taken away.

        The catalogue's answer in it is looked at by itself, for that is written again in its place.
        """
        ids = civitdl_ids(os.fsdecode(stem))
        name = EXTRA_FOLDER + b"vid_" + str(ids[1]).encode() if ids else b""
        if ids is None or name not in folder.extras:
            return []
        here = [Beside(name, 0, folder.extras[name])]
        answer = name + b"/" + model_dict_of(*ids).encode()
        with contextlib.suppress(OSError):
            about = os.stat(os.path.join(self._root, path, answer))
            here.append(Beside(answer, about.st_size, about.st_mtime_ns))
        return here

    def _report(self, subject: bytes, code: str, message: str) -> None:
        self.problems.append(Problem(subject, code, message))


def places_of(root: Path, below: bytes, roots: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """What to walk, root by root, when something has happened at ``below``: links on the way there may lead anywhere.

    A path without links is walked as it is, one that leads out of the library nowhere. Another is walked where it
    really lies; where a walk of all of a root would come to it in another way, all of that root is.
    """
    base = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(base, below))
    if path == (os.path.join(base, below) if below else base):
        return [(root, below)]
    found = [(one, _inside(path, os.path.realpath(os.fsencode(one)))) for one in roots]
    places = [(one, inside if _is_open(inside) else b"") for one, inside in found if inside is not None]
    return places if not places or any(one == root for one, _ in places) else [*places, (root, b"")]


def _inside(path: bytes, base: bytes) -> bytes | None:
    """A resolved path below a resolved folder; None if it is not in it."""
    if path == base:
        return b""
    within = base.rstrip(b"/") + b"/"
    return path.removeprefix(within) if path.startswith(within) else None


def _is_open(path: bytes) -> bool:
    """Whether a walk goes into every folder of a path."""
    return not any(part.startswith((b".", EXTRA_FOLDER)) for part in path.split(b"/"))


def _sort_file(name: bytes, about: os.stat_result, folder: Folder) -> None:
    lower = name.lower()
    if lower.endswith(MODEL_ENDINGS):
        if stat.S_ISREG(about.st_mode):
            folder.models.append((name, about))
    elif stem := _model_stem(lower):
        folder.beside[stem].append(Beside(name, about.st_size, about.st_mtime_ns))


def _model_stem(lower: bytes) -> bytes:
    """The stem of the model that a file would belong to, by its name alone; empty if to none."""
    stem, _, ending = lower.rpartition(b".")
    if ending not in COMPANION_ENDINGS:
        return b""
    head, _, infix = stem.rpartition(b".")
    return head if infix in INFIXES and head else stem


def _digest(beside: Sequence[Beside]) -> str:
    if not beside:
        return ""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for one in sorted(beside):
        digest.update(b"%d:%s %d %d\n" % (len(one.name), one.name, one.size_bytes, one.mtime_ns))
    return digest.hexdigest()


def _join(path: bytes, name: bytes) -> bytes:
    return b"%s/%s" % (path, name) if path else name
