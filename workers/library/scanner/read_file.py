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
from schemas.format_error import FormatError
from schemas.library.formats.gguf import read_gguf_header
from schemas.library.formats.safetensors import (
    PREFIX_BYTES,
    SafetensorsHeader,
    parse_header,
    parse_header_length,
)
from schemas.library.formats.training_metadata import TrainingMetadata, parse_training_metadata
from schemas.library.metadata import ImageMetadata, Metadata, Source, SourceMetadata, SourcePriority
from schemas.library.path_rules import parse_epoch, title_from_stem
from schemas.library.sanitize import clean_line, clean_multiline
from schemas.library.scan_records import FORMAT_BY_EXTENSION, FileFormat, FileOnDisk, PreviewImage, ScannedFile
from schemas.library.sidecars import LocalFile, civitdl, find_previews, find_sidecars, read_sidecar
from schemas.library.text_normalization import normalize
from workers.library.scanner.file_context import FileContext

# A header may have 100 MB; one that has so much is no help to anybody, and many of them are a bomb.
MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_IMAGES = 200
MAGIC_BYTES = 8
# How pickles begin: by themselves, or in the archive that newer programs put them into.
PICKLE_MAGICS = (b"\x80", b"PK\x03\x04", b"(")


def read_model_file(file: FileOnDisk, roots: Sequence[Path]) -> ScannedFile | None:
    """All that a file, its name and its companions say; None if the file has gone.

    ``roots`` are all folders of the library: where links may lead.
    """
    name = os.fsdecode(file.path.rpartition(b"/")[2])
    folder = os.path.dirname(os.path.join(os.fsencode(file.root), file.path))
    local = LocalFile(name, file.size_bytes, time_ms=file.mtime_ns // 1_000_000)
    reading = FileContext(file, roots, folder, local)
    kind = FORMAT_BY_EXTENSION["." + name.rpartition(".")[2].lower()]
    if not _read_contents(reading, kind):
        return None
    stem = local.stem
    epoch = parse_epoch(stem)
    _read_name(reading, stem, epoch)
    _read_sidecars(reading, stem)
    _read_previews(reading, stem)
    return ScannedFile(
        file=file,
        kind=kind,
        layout=reading.layout,
        header=reading.header,
        source_metadata=tuple(reading.source_metadata),
        images=tuple(reading.images[:MAX_IMAGES]),
        problems=tuple(reading.problems),
        epoch=epoch[1] if epoch else None,
        group_key=_group_key(file, epoch[0]) if epoch else None,
    )


def minimal_record(scanned: ScannedFile) -> ScannedFile:
    """A file of which no more than its name can be written down; the report says so."""
    name = os.fsdecode(scanned.file.path.rpartition(b"/")[2])
    reading = FileContext(scanned.file, (), b"", LocalFile(name, time_ms=scanned.file.mtime_ns // 1_000_000))
    _read_name(reading, reading.local.stem, None)
    reading.report_problem(scanned.file.path, "unfit", "The file or one beside it says what the database cannot hold.")
    return ScannedFile(
        scanned.file,
        scanned.kind,
        source_metadata=tuple(reading.source_metadata),
        problems=tuple(reading.problems),
        moved_from=scanned.moved_from,
    )


def _group_key(found: FileOnDisk, base: str) -> str:
    """What the epochs of one training share: the folder, and the name without the epoch."""
    folder = found.path.rpartition(b"/")[0]
    return hashlib.sha256(
        b"\0".join((os.fsencode(found.root), folder, normalize(base).encode(errors="replace")))
    ).hexdigest()


def _read_name(reading: FileContext, stem: str, epoch: tuple[str, int] | None) -> None:
    title = title_from_stem(epoch[0] if epoch else stem)
    shown = clean_line(os.fsencode(title).decode(errors="replace")) or "?"
    facts = Metadata(name=shown, version_name=f"Epoch {epoch[1]}" if epoch else "Local")
    reading.source_metadata.append(SourceMetadata(Source.FILE_NAME, SourcePriority.GUESS, facts, reading.local.time_ms))


def _read_contents(reading: FileContext, kind: FileFormat) -> bool:
    """Read what the file says itself; False if it has gone."""
    found = reading.file
    try:
        with reading.open(found.path) as opened, io.BufferedReader(opened.file) as file:
            _READERS[kind](reading, file)
    except NotFound:
        return False
    except ServiceError as error:
        reading.report_problem(found.path, "unreadable", error.message)
    except OSError as error:
        reading.report_problem(found.path, "unreadable", f"The file cannot be read: {error.strerror}.")
    except FormatError as error:
        reading.report_problem(found.path, error.code, str(error))
    return True


def _read_safetensors(reading: FileContext, file: BinaryIO) -> None:
    size = reading.file.size_bytes
    length = parse_header_length(file.read(PREFIX_BYTES), size)
    if length > MAX_HEADER_BYTES:
        words = f"The header has {length} bytes; more than {MAX_HEADER_BYTES} are not read here."
        raise FormatError("header_too_large", words)
    header = parse_header(file.read(length), size)
    training = parse_training_metadata(header.metadata)
    reading.layout = _layout_digest(header)
    reading.header = _header_summary(header, training)
    reading.source_metadata.append(
        SourceMetadata(Source.HEADER, SourcePriority.HEADER, _header_metadata(training), reading.local.time_ms)
    )


def _layout_digest(header: SafetensorsHeader) -> str:
    """The same for two files whose tensors could be one another's."""
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(header.tensors):
        tensor = header.tensors[name]
        digest.update(f"{name!r} {tensor.dtype} {tensor.shape}\n".encode(errors="replace"))
    return digest.hexdigest()


def _header_summary(header: SafetensorsHeader, training: TrainingMetadata) -> dict[str, Any]:
    shown = {
        "format": "SafeTensor",
        "dtype": header.dtype,
        "parameters": header.parameter_count,
        "tensors": len(header.tensors),
        "architecture": training.architecture,
        "module": training.module,
        "dim": training.dim,
        "alpha": training.alpha,
        "resolution": training.resolution,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _header_metadata(training: TrainingMetadata) -> Metadata:
    return Metadata(
        name=clean_line(training.title or "") or None,
        creator=clean_line(training.author or "") or None,
        description=training.description,
        base_model=training.base_model,
        trained_words=training.trigger_words,
        tags=training.tags,
        hashes=training.hashes or {},
    )


def _read_gguf(reading: FileContext, file: BinaryIO) -> None:
    header = read_gguf_header(file)
    said = {name: value for name, value in header.metadata.items() if isinstance(value, str)}
    reading.header = {"format": "GGUF", "tensors": header.tensor_count}
    if architecture := said.get("general.architecture"):
        reading.header["architecture"] = clean_line(architecture)[:200]
    facts = Metadata(
        name=clean_line(said.get("general.name", "")) or None,
        creator=clean_line(said.get("general.author", "")) or None,
        description=clean_multiline(said.get("general.description", "")) or None,
    )
    reading.source_metadata.append(SourceMetadata(Source.HEADER, SourcePriority.HEADER, facts, reading.local.time_ms))


def _read_pickle(reading: FileContext, file: BinaryIO) -> None:
    reading.header = {"format": "PickleTensor"}
    magic = file.read(MAGIC_BYTES)
    if not magic.startswith(PICKLE_MAGICS):
        raise FormatError("unknown_format", "It does not begin as a pickle or an archive of one does.")


_READERS = {FileFormat.SAFETENSORS: _read_safetensors, FileFormat.GGUF: _read_gguf, FileFormat.PICKLE: _read_pickle}


def _read_sidecars(reading: FileContext, stem: str) -> None:
    names = [os.fsdecode(name) for name in reading.file.companion_names]
    ids = civitdl.parse_civitdl_ids(stem)
    if ids:
        facts = Metadata(civitai_id=ids[0], civitai_version_id=ids[1])
        reading.source_metadata.append(
            SourceMetadata(Source.CIVITDL, SourcePriority.GUESS, facts, reading.local.time_ms)
        )
        folder = civitdl.folder_name(ids[1])
        if folder in names:
            _read_civitdl_folder(reading, folder, civitdl.model_dict_name(*ids))
    for name, source in find_sidecars(stem, names):
        _add_sidecar(reading, name, source)


def _add_sidecar(reading: FileContext, name: str, source: Source) -> None:
    """What a sidecar says; one that is broken or says nothing takes nothing away."""
    content = reading.read_sibling(name)
    if content is None:
        return
    try:
        reading.source_metadata += read_sidecar(source, content[0], content[1], reading.local)
    except FormatError as error:
        reading.report_problem(reading.sibling_path(name), error.code, str(error))


def _read_civitdl_folder(reading: FileContext, folder: str, model_dict: str) -> None:
    """The folder of the downloader civitdl: the catalogue's answer, and pictures with their entries."""
    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.join(reading.folder, os.fsencode(folder)))]
    except OSError as error:
        reading.report_problem(
            reading.sibling_path(folder), "unreadable", f"The folder cannot be read: {error.strerror}."
        )
        return
    if model_dict in names:
        _add_sidecar(reading, f"{folder}/{model_dict}", Source.CIVITDL)
    listed = {image.file: image for claim in reading.source_metadata for image in claim.metadata.images}
    for name, entry in civitdl.find_images(names):
        said = _read_civitdl_image(reading, f"{folder}/{entry}", name) if entry else None
        known = said or listed.get(name) or ImageMetadata(name)
        slot = os.fsencode(name).decode(errors="backslashreplace")
        _add_image(reading, f"civitdl/{slot}", f"{folder}/{name}", known)


def _read_civitdl_image(reading: FileContext, path: str, name: str) -> ImageMetadata | None:
    content = reading.read_sibling(path)
    if content is None:
        return None
    try:
        return civitdl.read_image(content[0], name)
    except FormatError as error:
        reading.report_problem(reading.sibling_path(path), error.code, str(error))
        return None


def _read_previews(reading: FileContext, stem: str) -> None:
    """Pictures beside the model, under the model's own name: the slot is what follows it."""
    names = [os.fsdecode(name) for name in reading.file.companion_names]
    listed: Mapping[str, ImageMetadata] = {
        one.file: one for claim in reading.source_metadata for one in claim.metadata.images
    }
    for name in find_previews(stem, names):
        slot = name[len(stem) :].lower()
        said = replace(listed.get(name, ImageMetadata(name)), file=name)
        _add_image(reading, f"preview{slot}", name, said)


def _add_image(reading: FileContext, slot: str, name: str, said: ImageMetadata) -> None:
    """A picture that is a file, with what tells whether its bytes are still the same."""
    if stamp := reading.sibling_stamp(name):
        reading.images.append(PreviewImage(slot, reading.sibling_path(name), said, stamp))
