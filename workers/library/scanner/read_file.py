"""The reading of one model file and of what lies beside it: headers, sidecars, names. Nothing here can run code.

Whatever a file holds, it ends in the report and never in a crash.
"""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from schemas.errors import NotFound, ServiceError
from schemas.library.formats.gguf import read_gguf
from schemas.library.formats.safetensors import PREFIX_BYTES, FormatError, Header, header_bytes, read_header
from schemas.library.formats.training_metadata import Training, read_training
from schemas.library.metadata import Claim, Facts, Rank, SaidImage, Source
from schemas.library.path_rules import epoch_of, title_of
from schemas.library.sanitize import clean_lines, clean_text
from schemas.library.scan_records import KINDS, Found, Kind, Seen, SeenImage
from schemas.library.sidecars import LocalFile, SidecarError, civitdl, previews_of, sidecars_of
from schemas.library.sidecars import read as read_sidecar
from schemas.library.text_normalization import fold
from workers.library.scanner.file_context import Reading

# A header may have 100 MB; one that has so much is no help to anybody, and many of them are a bomb.
LARGEST_HEADER_BYTES = 32 * 1024 * 1024
MOST_IMAGES = 200
MAGIC_BYTES = 8
# How pickles begin: by themselves, or in the archive that newer programs put them into.
PICKLES = (b"\x80", b"PK\x03\x04", b"(")


def read(found: Found, roots: Sequence[Path]) -> Seen | None:
    """All that a file, its name and its companions say; None if the file has gone.

    ``roots`` are all folders of the library: where links may lead.
    """
    name = os.fsdecode(found.path.rpartition(b"/")[2])
    folder = os.path.dirname(os.path.join(os.fsencode(found.root), found.path))
    local = LocalFile(name, found.size_bytes, time_ms=found.mtime_ns // 1_000_000)
    reading = Reading(found, roots, folder, local)
    kind = KINDS["." + name.rpartition(".")[2].lower()]
    if not _read_file(reading, kind):
        return None
    stem = local.stem
    epoch = epoch_of(stem)
    _read_name(reading, stem, epoch)
    _read_sidecars(reading, stem)
    _read_previews(reading, stem)
    return Seen(
        found=found,
        kind=kind,
        layout=reading.layout,
        header=reading.header,
        claims=tuple(reading.claims),
        images=tuple(reading.images[:MOST_IMAGES]),
        problems=tuple(reading.problems),
        epoch=epoch[1] if epoch else None,
        group_key=_group_key(found, epoch[0]) if epoch else None,
    )


def bare(seen: Seen) -> Seen:
    """A file of which no more than its name can be written down; the report says so."""
    name = os.fsdecode(seen.found.path.rpartition(b"/")[2])
    reading = Reading(seen.found, (), b"", LocalFile(name, time_ms=seen.found.mtime_ns // 1_000_000))
    _read_name(reading, reading.local.stem, None)
    reading.report(seen.found.path, "unfit", "The file or one beside it says what the database cannot hold.")
    return Seen(
        seen.found,
        seen.kind,
        claims=tuple(reading.claims),
        problems=tuple(reading.problems),
        moved_from=seen.moved_from,
    )


def _group_key(found: Found, base: str) -> str:
    """What the epochs of one training share: the folder, and the name without the epoch."""
    folder = found.path.rpartition(b"/")[0]
    return hashlib.sha256(
        b"\0".join((os.fsencode(found.root), folder, fold(base).encode(errors="replace")))
    ).hexdigest()


def _read_name(reading: Reading, stem: str, epoch: tuple[str, int] | None) -> None:
    title = title_of(epoch[0] if epoch else stem)
    shown = clean_text(os.fsencode(title).decode(errors="replace")) or "?"
    facts = Facts(name=shown, version_name=f"Epoch {epoch[1]}" if epoch else "Local")
    reading.claims.append(Claim(Source.FILE_NAME, Rank.GUESS, facts, reading.local.time_ms))


def _read_file(reading: Reading, kind: Kind) -> bool:
    """Read what the file says itself; False if it has gone."""
    found = reading.found
    try:
        with reading.open(found.path) as opened, io.BufferedReader(opened.file) as file:
            _READERS[kind](reading, file)
    except NotFound:
        return False
    except ServiceError as error:
        reading.report(found.path, "unreadable", error.message)
    except OSError as error:
        reading.report(found.path, "unreadable", f"The file cannot be read: {error.strerror}.")
    except FormatError as error:
        reading.report(found.path, error.code, str(error))
    return True


def _read_safetensors(reading: Reading, file: BinaryIO) -> None:
    size = reading.found.size_bytes
    length = header_bytes(file.read(PREFIX_BYTES), size)
    if length > LARGEST_HEADER_BYTES:
        words = f"The header has {length} bytes; more than {LARGEST_HEADER_BYTES} are not read here."
        raise FormatError("header_too_large", words)
    header = read_header(file.read(length), size)
    training = read_training(header.metadata)
    reading.layout = _layout(header)
    reading.header = _header_view(header, training)
    reading.claims.append(Claim(Source.HEADER, Rank.HEADER, _said_by_header(training), reading.local.time_ms))


def _layout(header: Header) -> str:
    """The same for two files whose tensors could be one another's."""
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(header.tensors):
        tensor = header.tensors[name]
        digest.update(f"{name!r} {tensor.dtype} {tensor.shape}\n".encode(errors="replace"))
    return digest.hexdigest()


def _header_view(header: Header, training: Training) -> dict[str, Any]:
    shown = {
        "format": "SafeTensor",
        "dtype": header.dtype,
        "parameters": header.parameters,
        "tensors": len(header.tensors),
        "architecture": training.architecture,
        "module": training.module,
        "dim": training.dim,
        "alpha": training.alpha,
        "resolution": training.resolution,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _said_by_header(training: Training) -> Facts:
    return Facts(
        name=clean_text(training.title or "") or None,
        creator=clean_text(training.author or "") or None,
        description=training.description,
        base_model=training.base_model,
        trained_words=training.trigger_words,
        tags=training.tags,
        hashes=training.hashes or {},
    )


def _read_gguf(reading: Reading, file: BinaryIO) -> None:
    header = read_gguf(file)
    said = {name: value for name, value in header.metadata.items() if isinstance(value, str)}
    reading.header = {"format": "GGUF", "tensors": header.tensors}
    if architecture := said.get("general.architecture"):
        reading.header["architecture"] = clean_text(architecture)[:200]
    facts = Facts(
        name=clean_text(said.get("general.name", "")) or None,
        creator=clean_text(said.get("general.author", "")) or None,
        description=clean_lines(said.get("general.description", "")) or None,
    )
    reading.claims.append(Claim(Source.HEADER, Rank.HEADER, facts, reading.local.time_ms))


def _read_pickle(reading: Reading, file: BinaryIO) -> None:
    reading.header = {"format": "PickleTensor"}
    magic = file.read(MAGIC_BYTES)
    if not magic.startswith(PICKLES):
        raise FormatError("unknown_format", "It does not begin as a pickle or an archive of one does.")


_READERS = {Kind.SAFETENSORS: _read_safetensors, Kind.GGUF: _read_gguf, Kind.PICKLE: _read_pickle}


def _read_sidecars(reading: Reading, stem: str) -> None:
    names = [os.fsdecode(name) for name in reading.found.beside]
    ids = civitdl.civitdl_ids(stem)
    if ids:
        facts = Facts(civitai_id=ids[0], civitai_version_id=ids[1])
        reading.claims.append(Claim(Source.CIVITDL, Rank.GUESS, facts, reading.local.time_ms))
        folder = civitdl.folder_of(ids[1])
        if folder in names:
            _read_extra(reading, folder, civitdl.model_dict_of(*ids))
    for name, source in sidecars_of(stem, names):
        _claim(reading, name, source)


def _claim(reading: Reading, name: str, source: Source) -> None:
    """What a sidecar says; one that is broken or says nothing takes nothing away."""
    content = reading.content_of(name)
    if content is None:
        return
    try:
        reading.claims += read_sidecar(source, content[0], content[1], reading.local)
    except SidecarError as error:
        reading.report(reading.path_of(name), error.code, str(error))


def _read_extra(reading: Reading, folder: str, model_dict: str) -> None:
    """The folder of the downloader civitdl: the catalogue's answer, and pictures with their entries."""
    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.join(reading.folder, os.fsencode(folder)))]
    except OSError as error:
        reading.report(reading.path_of(folder), "unreadable", f"The folder cannot be read: {error.strerror}.")
        return
    if model_dict in names:
        _claim(reading, f"{folder}/{model_dict}", Source.CIVITDL)
    listed = {image.file: image for claim in reading.claims for image in claim.facts.images}
    for name, entry in civitdl.pictures_of(names):
        said = _entry_of(reading, f"{folder}/{entry}", name) if entry else None
        known = said or listed.get(name) or SaidImage(name)
        slot = os.fsencode(name).decode(errors="backslashreplace")
        _see_image(reading, f"civitdl/{slot}", f"{folder}/{name}", known)


def _entry_of(reading: Reading, path: str, name: str) -> SaidImage | None:
    content = reading.content_of(path)
    if content is None:
        return None
    try:
        return civitdl.read_image(content[0], name)
    except SidecarError as error:
        reading.report(reading.path_of(path), error.code, str(error))
        return None


def _read_previews(reading: Reading, stem: str) -> None:
    """Pictures beside the model, under the model's own name: the slot is what follows it."""
    names = [os.fsdecode(name) for name in reading.found.beside]
    listed: Mapping[str, SaidImage] = {one.file: one for claim in reading.claims for one in claim.facts.images}
    for name in previews_of(stem, names):
        slot = name[len(stem) :].lower()
        said = replace(listed.get(name, SaidImage(name)), file=name)
        _see_image(reading, f"preview{slot}", name, said)


def _see_image(reading: Reading, slot: str, name: str, said: SaidImage) -> None:
    """A picture that is a file, with what tells whether its bytes are still the same."""
    if stamp := reading.stamp_of(name):
        reading.images.append(SeenImage(slot, reading.path_of(name), said, stamp))
