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

from schemas.images import formats
from schemas.library.scan_records import FORMAT_BY_EXTENSION, FileOnDisk, FileProblem
from schemas.library.sidecars import parse_civitdl_ids
from schemas.library.sidecars.civitdl import model_dict_name

CIVITDL_FOLDER_PREFIX = b"extra_data-"
MODEL_EXTENSIONS = tuple(ending.encode() for ending in FORMAT_BY_EXTENSION)
# What may stand between a model's name and the ending of a file that belongs to it.
COMPANION_INFIXES = frozenset({b"preview", b"civitai", b"metadata", b"cm-info", b"api_info"})
IMAGE_EXTENSIONS = [extension.encode() for form in formats.ACCEPTED for extension in form.extensions]
COMPANION_EXTENSIONS = frozenset({b"info", b"json", *IMAGE_EXTENSIONS})
DIGEST_BYTES = 16
MAX_DEPTH = 40
# What a database keeps an index of has no more.
MAX_PATH_BYTES = 1500


class Companion(NamedTuple):
    """A file or folder beside a model, and when it was last written to."""

    name: bytes
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class FolderListing:
    """What lies in one folder: models, what may belong to them by its name, and the folders of downloaders."""

    models: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    companions: defaultdict[bytes, list[Companion]] = field(default_factory=lambda: defaultdict(list))
    civitdl_folders: dict[bytes, int] = field(default_factory=dict)
    subfolders: list[bytes] = field(default_factory=list)


class FolderWalk:
    """A walk below one root, or below a part of it."""

    def __init__(self, root: Path, roots: Sequence[Path]) -> None:
        """``roots`` are all folders of the library: where links may lead."""
        self._root = os.fsencode(root)
        self._resolved_roots = tuple(os.path.realpath(os.fsencode(one)) for one in roots)
        self._visited: set[tuple[int, int]] = set()
        self._unreadable: list[bytes] = []
        self.problems: list[FileProblem] = []

    def run(self, subfolder: bytes = b"") -> Iterator[FileOnDisk]:
        """Every model file below ``below``, which is a path below the root."""
        with contextlib.suppress(OSError):
            about = os.stat(self._root)
            self._visited.add((about.st_dev, about.st_ino))
        waiting = [(subfolder, 0)]
        while waiting:
            path, depth = waiting.pop()
            folder = self._list_folder(path)
            yield from self._model_files(path, folder)
            if depth < MAX_DEPTH:
                waiting += [(_join(path, name), depth + 1) for name in sorted(folder.subfolders, reverse=True)]

    def is_unreadable(self, path: bytes) -> bool:
        """Whether a path lies in a folder that could not be read: nobody knows whether it is still there."""
        return any(not folder or path.startswith(folder + b"/") for folder in self._unreadable)

    def _list_folder(self, path: bytes) -> FolderListing:
        folder = FolderListing()
        try:
            entries = os.scandir(os.path.join(self._root, path) if path else self._root)
        except OSError as error:
            if path and isinstance(error, FileNotFoundError):
                return folder
            self._unreadable.append(path)
            self._report_problem(path, "unreadable", f"The folder cannot be read: {error.strerror}.")
            return folder
        try:
            with entries:
                for entry in entries:
                    self._classify(path, entry, folder)
        except OSError as error:
            # A disk that fails in the midst of it: what has not been told may be there.
            self._unreadable.append(path)
            self._report_problem(path, "unreadable", f"The folder cannot be read to its end: {error.strerror}.")
        return folder

    def _classify(self, path: bytes, entry: "os.DirEntry[bytes]", folder: FolderListing) -> None:
        name = entry.name
        if name.startswith(b"."):
            return
        if len(path) + len(name) >= MAX_PATH_BYTES:
            self._report_problem(
                _join(path, name)[:MAX_PATH_BYTES], "path_too_long", "Its path is too long; not looked at."
            )
            return
        try:
            if entry.is_symlink() and not self._is_link_allowed(path, entry):
                return
            if entry.is_dir():
                self._classify_folder(path, entry, folder)
            elif entry.is_file():
                _classify_file(name, entry.stat(), folder)
        except OSError as error:
            self._report_problem(_join(path, name), "unreadable", f"It cannot be looked at: {error.strerror}.")

    def _classify_folder(self, path: bytes, entry: "os.DirEntry[bytes]", folder: FolderListing) -> None:
        about = entry.stat()
        if entry.name.startswith(CIVITDL_FOLDER_PREFIX):
            folder.civitdl_folders[entry.name] = about.st_mtime_ns
            return
        if entry.is_symlink() and self._is_walked_directly(path, entry):
            # It is found where it lies, whichever part of the root is walked.
            return
        place = (about.st_dev, about.st_ino)
        # A link may lead to a folder that contains it.
        if place not in self._visited:
            self._visited.add(place)
            folder.subfolders.append(entry.name)

    def _is_walked_directly(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        """Whether a link leads to a folder that a walk of all of this root goes into by itself."""
        inside = _relative_to(
            os.path.realpath(os.path.join(self._root, path, entry.name)), os.path.realpath(self._root)
        )
        return inside is not None and _is_walkable(inside)

    def _is_link_allowed(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        target = os.path.realpath(os.path.join(self._root, path, entry.name))
        if any(target == root or target.startswith(root + b"/") for root in self._resolved_roots):
            return True
        if entry.is_dir() or entry.name.lower().endswith(MODEL_EXTENSIONS):
            self._report_problem(
                _join(path, entry.name), "outside", "The link leads out of the library's folders; not followed."
            )
        return False

    def _model_files(self, path: bytes, folder: FolderListing) -> Iterator[FileOnDisk]:
        for name, about in sorted(folder.models, key=lambda model: model[0]):
            stem = name.rpartition(b".")[0]
            beside = folder.companions.get(stem.lower(), [])
            extra = self._civitdl_companions(path, stem, folder)
            yield FileOnDisk(
                root=os.fsdecode(self._root),
                path=_join(path, name),
                inode=about.st_ino,
                size_bytes=about.st_size,
                mtime_ns=about.st_mtime_ns,
                companions_stamp=_companions_digest([*beside, *extra]),
                companion_names=tuple(one.name for one in (*beside, *extra)),
            )

    def _civitdl_companions(self, path: bytes, stem: bytes, folder: FolderListing) -> list[Companion]:
        """The folder that a downloader has put beside the model: its time changes with what is added and taken away.

        The catalogue's answer in it is looked at by itself, for that is written again in its place.
        """
        ids = parse_civitdl_ids(os.fsdecode(stem))
        name = CIVITDL_FOLDER_PREFIX + b"vid_" + str(ids[1]).encode() if ids else b""
        if ids is None or name not in folder.civitdl_folders:
            return []
        here = [Companion(name, 0, folder.civitdl_folders[name])]
        answer = name + b"/" + model_dict_name(*ids).encode()
        with contextlib.suppress(OSError):
            about = os.stat(os.path.join(self._root, path, answer))
            here.append(Companion(answer, about.st_size, about.st_mtime_ns))
        return here

    def _report_problem(self, subject: bytes, code: str, message: str) -> None:
        self.problems.append(FileProblem(subject, code, message))


def resolve_scan_paths(root: Path, subfolder: bytes, roots: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """What to walk, root by root, when something has happened at ``below``: links on the way there may lead anywhere.

    A path without links is walked as it is, one that leads out of the library nowhere. Another is walked where it
    really lies; where a walk of all of a root would come to it in another way, all of that root is.
    """
    base = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(base, subfolder))
    if path == (os.path.join(base, subfolder) if subfolder else base):
        return [(root, subfolder)]
    found = [(one, _relative_to(path, os.path.realpath(os.fsencode(one)))) for one in roots]
    places = [(one, inside if _is_walkable(inside) else b"") for one, inside in found if inside is not None]
    return places if not places or any(one == root for one, _ in places) else [*places, (root, b"")]


def _relative_to(path: bytes, base: bytes) -> bytes | None:
    """A resolved path below a resolved folder; None if it is not in it."""
    if path == base:
        return b""
    within = base.rstrip(b"/") + b"/"
    return path.removeprefix(within) if path.startswith(within) else None


def _is_walkable(path: bytes) -> bool:
    """Whether a walk goes into every folder of a path."""
    return not any(part.startswith((b".", CIVITDL_FOLDER_PREFIX)) for part in path.split(b"/"))


def _classify_file(name: bytes, about: os.stat_result, folder: FolderListing) -> None:
    lower = name.lower()
    if lower.endswith(MODEL_EXTENSIONS):
        if stat.S_ISREG(about.st_mode):
            folder.models.append((name, about))
    elif stem := _model_stem(lower):
        folder.companions[stem].append(Companion(name, about.st_size, about.st_mtime_ns))


def _model_stem(lower: bytes) -> bytes:
    """The stem of the model that a file would belong to, by its name alone; empty if to none."""
    stem, _, ending = lower.rpartition(b".")
    if ending not in COMPANION_EXTENSIONS:
        return b""
    head, _, infix = stem.rpartition(b".")
    return head if infix in COMPANION_INFIXES and head else stem


def _companions_digest(beside: Sequence[Companion]) -> str:
    if not beside:
        return ""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for one in sorted(beside):
        digest.update(b"%d:%s %d %d\n" % (len(one.name), one.name, one.size_bytes, one.mtime_ns))
    return digest.hexdigest()


def _join(path: bytes, name: bytes) -> bytes:
    return b"%s/%s" % (path, name) if path else name
