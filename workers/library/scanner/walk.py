"""Walks the library's folders and yields every model file, with a stamp of the files beside it.

Only directory entries are read; nothing is opened. Paths are bytes, because file names need not be valid text. Links
are followed as long as they lead into one of the library's folders. No folder is walked twice, so loops of links end.
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

from schemas.library.model_parts import INDEX_FILE, find_part, is_diffusers_folder
from schemas.library.scan_records import FORMAT_BY_EXTENSION, UNREADABLE, FileOnDisk, FileProblem
from schemas.library.sidecars import PREVIEW_SUFFIXES, SIDECAR_SUFFIXES, civitdl
from schemas.library.text_normalization import fold_file_name

CIVITDL_FOLDER_PREFIX = civitdl.FOLDER_PREFIX.encode()
MODEL_EXTENSIONS = tuple(extension.encode() for extension in FORMAT_BY_EXTENSION)
# Sidecars and previews are named STEM.EXTENSION or STEM.INFIX.EXTENSION.
_SUFFIX_PARTS = [suffix[1:].encode().rpartition(b".") for suffix in (*SIDECAR_SUFFIXES, *PREVIEW_SUFFIXES)]
COMPANION_INFIXES = frozenset(infix for infix, _, _ in _SUFFIX_PARTS if infix)
COMPANION_EXTENSIONS = frozenset(extension for _, _, extension in _SUFFIX_PARTS)
_INDEX_STEM = INDEX_FILE.decode().rpartition(".")[0]
DIGEST_BYTES = 16
# Raised with every release that reads more from a model file or from what lies beside it: files that an earlier one
# has indexed are then read again at the next scan.
READERS_VERSION = 1
MAX_DEPTH = 40
# Paths are indexed, and PostgreSQL's index entries are limited to about 2,700 bytes together with the root.
MAX_PATH_BYTES = 1500


class Companion(NamedTuple):
    """A file or folder beside a model, with its size and modification time."""

    name: bytes
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class FolderListing:
    """The entries of one folder: models, companions by folded stem, civitdl's folders with their times, others."""

    models: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    companions: defaultdict[str, list[Companion]] = field(default_factory=lambda: defaultdict(list))
    civitdl_folders: dict[bytes, int] = field(default_factory=dict)
    subfolders: list[bytes] = field(default_factory=list)


class DiffusersFolder(NamedTuple):
    """A folder that is one model, with a subfolder for each part; ``index_file`` is its list of parts if it has one."""

    path: bytes
    index_file: Companion | None


class FolderWalk:
    """One walk below a root. ``problems`` lists what could not be read."""

    def __init__(self, root: Path, roots: Sequence[Path]) -> None:
        """``roots`` are all folders of the library; links may lead into any of them."""
        self._root = os.fsencode(root)
        self._resolved_roots = tuple(os.path.realpath(os.fsencode(root)) for root in roots)
        self._visited: set[tuple[int, int]] = set()
        self._unreadable: list[bytes] = []
        self._unreadable_entries: set[bytes] = set()
        self.problems: list[FileProblem] = []

    def run(self, subfolder: bytes = b"") -> Iterator[FileOnDisk]:
        """Yield the model files below a folder, given by its path below the root."""
        with contextlib.suppress(OSError):
            status = os.stat(self._root)
            self._visited.add((status.st_dev, status.st_ino))
        stack = [(subfolder, 0, self._diffusers_folder_of(subfolder))]
        while stack:
            path, depth, outer = stack.pop()
            listing = self._list_folder(path)
            yield from self._model_files(path, listing, outer)
            if depth < MAX_DEPTH:
                own = _diffusers_folder(path, listing)
                stack += [(_join(path, name), depth + 1, own) for name in sorted(listing.subfolders, reverse=True)]

    def is_unreadable(self, path: bytes) -> bool:
        """Return whether a path or a folder above it could not be read, so that it may still exist."""
        if path in self._unreadable_entries:
            return True
        return any(not folder or path.startswith(folder + b"/") for folder in self._unreadable)

    def _list_folder(self, path: bytes) -> FolderListing:
        listing = FolderListing()
        try:
            entries = os.scandir(os.path.join(self._root, path) if path else self._root)
        except OSError as error:
            # A missing root is a disk that is not mounted; a missing subfolder was deleted.
            if path and isinstance(error, FileNotFoundError):
                return listing
            self._unreadable.append(path)
            self._report_problem(path, UNREADABLE, f"The folder cannot be read: {error.strerror}.")
            return listing
        try:
            with entries:
                for entry in entries:
                    self._classify(path, entry, listing)
        except OSError as error:
            # The listing is incomplete: files that are not in it must not count as missing.
            self._unreadable.append(path)
            self._report_problem(path, UNREADABLE, f"The folder cannot be read to its end: {error.strerror}.")
        return listing

    def _classify(self, path: bytes, entry: "os.DirEntry[bytes]", listing: FolderListing) -> None:
        name = entry.name
        if name.startswith(b"."):
            return
        entry_path = _join(path, name)
        if len(entry_path) > MAX_PATH_BYTES:
            message = f"The path has {len(entry_path)} bytes; at most {MAX_PATH_BYTES} are supported."
            self._report_problem(entry_path[:MAX_PATH_BYTES], "path_too_long", message)
            return
        try:
            if entry.is_symlink() and not self._is_link_allowed(path, entry):
                return
            if entry.is_dir():
                self._classify_folder(path, entry, listing)
            elif entry.is_file():
                _classify_file(name, entry.stat(), listing)
        except FileNotFoundError:
            # Deleted since the folder was listed.
            return
        except OSError as error:
            self._unreadable_entries.add(entry_path)
            self._report_problem(entry_path, UNREADABLE, f"The entry cannot be read: {error.strerror}.")

    def _classify_folder(self, path: bytes, entry: "os.DirEntry[bytes]", listing: FolderListing) -> None:
        status = entry.stat()
        if entry.name.startswith(CIVITDL_FOLDER_PREFIX):
            listing.civitdl_folders[entry.name] = status.st_mtime_ns
            return
        if entry.is_symlink() and self._is_walked_directly(path, entry):
            # Its files have one path, whichever part of the root is walked.
            return
        identity = (status.st_dev, status.st_ino)
        if identity not in self._visited:
            self._visited.add(identity)
            listing.subfolders.append(entry.name)

    def _is_walked_directly(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        """Return whether a link leads to a folder that a walk of this whole root reaches without the link."""
        target = os.path.realpath(os.path.join(self._root, path, entry.name))
        relative = _relative_to(target, os.path.realpath(self._root))
        return relative is not None and _is_walkable(relative)

    def _is_link_allowed(self, path: bytes, entry: "os.DirEntry[bytes]") -> bool:
        """Return whether a link leads into the library; report links to folders and models outside."""
        target = os.path.realpath(os.path.join(self._root, path, entry.name))
        if any(target == root or target.startswith(root + b"/") for root in self._resolved_roots):
            return True
        if entry.is_dir() or entry.name.lower().endswith(MODEL_EXTENSIONS):
            message = "The link leads out of the folders of MODELS_DIR and is not followed."
            self._report_problem(_join(path, entry.name), "outside", message)
        return False

    def _diffusers_folder_of(self, subfolder: bytes) -> DiffusersFolder | None:
        """Return the diffusers folder that a folder is a part of, if the walk begins there."""
        parent, listing = subfolder.rpartition(b"/")[0], FolderListing()
        if not subfolder:
            return None
        with contextlib.suppress(OSError), os.scandir(os.path.join(self._root, parent)) as entries:
            for entry in entries:
                if entry.is_dir():
                    listing.subfolders.append(entry.name)
                elif entry.name == INDEX_FILE:
                    _classify_file(entry.name, entry.stat(), listing)
        return _diffusers_folder(parent, listing)

    def _model_files(self, path: bytes, listing: FolderListing, outer: DiffusersFolder | None) -> Iterator[FileOnDisk]:
        stems = {name.rpartition(b".")[0] for name, _ in listing.models}
        for name, status in sorted(listing.models, key=lambda model: model[0]):
            stem = name.rpartition(b".")[0]
            companions = [
                *_companions_of(stem, stems, listing),
                *self._civitdl_companions(path, stem, listing),
            ]
            part = find_part(path, os.fsdecode(stem), outer.path if outer else None)
            has_index = outer is not None and part is not None and part.part is not None
            index_files = [outer.index_file] if outer and has_index and outer.index_file else []
            yield FileOnDisk(
                root=os.fsdecode(self._root),
                path=_join(path, name),
                inode=status.st_ino,
                size_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
                companions_stamp=_companions_digest([*companions, *index_files]),
                companion_names=tuple(companion.name for companion in companions),
                part=part,
            )

    def _civitdl_companions(self, path: bytes, stem: bytes, listing: FolderListing) -> list[Companion]:
        """Return the folder that civitdl has put beside the model, and the file with Civitai's answer in it.

        The folder's time changes when files are added or removed, but not when that file is rewritten.
        """
        ids = civitdl.parse_civitdl_ids(os.fsdecode(stem))
        folder = civitdl.folder_name(ids[1]).encode() if ids else b""
        if ids is None or folder not in listing.civitdl_folders:
            return []
        companions = [Companion(folder, 0, listing.civitdl_folders[folder])]
        model_dict = folder + b"/" + civitdl.model_dict_name(*ids).encode()
        with contextlib.suppress(OSError):
            status = os.stat(os.path.join(self._root, path, model_dict))
            companions.append(Companion(model_dict, status.st_size, status.st_mtime_ns))
        return companions

    def _report_problem(self, subject: bytes, code: str, message: str) -> None:
        self.problems.append(FileProblem(subject, code, message))


def resolve_scan_paths(root: Path, subfolder: bytes, roots: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """Return the folders to walk, as roots and paths below them, after a change at a path that may contain links.

    A path without links is returned unchanged; for one that leads out of the library nothing is returned. Otherwise
    the result is the real location, plus the whole root whose walk reaches it through the link.
    """
    base = os.path.realpath(os.fsencode(root))
    path = os.path.realpath(os.path.join(base, subfolder))
    if path == (os.path.join(base, subfolder) if subfolder else base):
        return [(root, subfolder)]
    locations = [(other, _relative_to(path, os.path.realpath(os.fsencode(other)))) for other in roots]
    paths = [(other, inside if _is_walkable(inside) else b"") for other, inside in locations if inside is not None]
    return paths if not paths or any(other == root for other, _ in paths) else [*paths, (root, b"")]


def _relative_to(path: bytes, base: bytes) -> bytes | None:
    """Return a resolved path relative to a resolved folder; None if it is not inside."""
    if path == base:
        return b""
    prefix = base.rstrip(b"/") + b"/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None


def _is_walkable(path: bytes) -> bool:
    """Return whether a walk enters every folder of a path."""
    return not any(part.startswith((b".", CIVITDL_FOLDER_PREFIX)) for part in path.split(b"/"))


def _classify_file(name: bytes, status: os.stat_result, listing: FolderListing) -> None:
    lower = name.lower()
    if lower.endswith(MODEL_EXTENSIONS):
        if stat.S_ISREG(status.st_mode):
            listing.models.append((name, status))
    elif stem := _model_stem(name):
        listing.companions[_fold(stem)].append(Companion(name, status.st_size, status.st_mtime_ns))


def _companions_of(stem: bytes, stems: set[bytes], listing: FolderListing) -> list[Companion]:
    """Return the companions of a model: those with exactly its stem, and those that no other model has exactly."""
    companions = listing.companions.get(_fold(stem), [])
    return [each for each in companions if (own := _model_stem(each.name)) == stem or own not in stems]


def _diffusers_folder(path: bytes, listing: FolderListing) -> DiffusersFolder | None:
    index = next((each for each in listing.companions.get(_INDEX_STEM, ()) if each.name == INDEX_FILE), None)
    is_model = is_diffusers_folder(map(os.fsdecode, listing.subfolders), has_index=index is not None)
    return DiffusersFolder(path, index) if is_model else None


def _fold(stem: bytes) -> str:
    return fold_file_name(os.fsdecode(stem))


def _model_stem(name: bytes) -> bytes:
    """Return the stem of the model that a companion's name belongs to; empty for other files."""
    stem = _model_stem_length(name.lower())
    return name[:stem]


def _model_stem_length(lower: bytes) -> int:
    stem, _, extension = lower.rpartition(b".")
    if extension not in COMPANION_EXTENSIONS:
        return 0
    head, _, infix = stem.rpartition(b".")
    return len(head if infix in COMPANION_INFIXES and head else stem)


def _companions_digest(companions: Sequence[Companion]) -> str:
    digest = blake2b(b"%d\n" % READERS_VERSION, digest_size=DIGEST_BYTES)
    for companion in sorted(companions):
        # The length makes the encoding unambiguous: a name may contain spaces and newlines.
        digest.update(
            b"%d:%s %d %d\n" % (len(companion.name), companion.name, companion.size_bytes, companion.mtime_ns)
        )
    return digest.hexdigest()


def _join(path: bytes, name: bytes) -> bytes:
    return b"%s/%s" % (path, name) if path else name
