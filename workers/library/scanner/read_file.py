"""Reads one model file and the files beside it: header, file name, sidecars, preview images.

Files are untrusted. Only headers are parsed, pickles are never loaded, and whatever is wrong with a file becomes a
problem in the report instead of an exception.
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
from schemas.library.categories import is_category_folder
from schemas.library.formats import tensor_names
from schemas.library.formats.base_models import find_base_model
from schemas.library.formats.diffusers_index import MAX_INDEX_BYTES, read_diffusers_index
from schemas.library.formats.foreign_content import PREFIX_BYTES as PEEK_BYTES
from schemas.library.formats.foreign_content import check_is_model
from schemas.library.formats.gguf import find_gguf_type, read_gguf_header
from schemas.library.formats.safetensors import (
    METADATA_KEY,
    PREFIX_BYTES,
    SafetensorsHeader,
    parse_header,
    parse_header_length,
)
from schemas.library.formats.tensor_names import CHECKPOINT
from schemas.library.formats.training_metadata import TrainingMetadata, parse_training_metadata
from schemas.library.metadata import ImageMetadata, Metadata, Source, SourcePriority
from schemas.library.model_parts import (
    INDEX_FILE,
    ModelPart,
    folder_title,
    is_generic_stem,
    is_main_file,
    strip_shard,
)
from schemas.library.path_rules import parse_epoch, title_from_stem
from schemas.library.sanitize import clean_line, clean_multiline
from schemas.library.scan_records import (
    CIVITDL_SLOT,
    FORMAT_BY_EXTENSION,
    PREVIEW_SLOT,
    UNREAD_STAMP,
    UNREADABLE,
    FileFormat,
    FileOnDisk,
    PreviewImage,
    ScannedFile,
)
from schemas.library.sidecars import LocalFile, civitdl, find_previews, find_sidecars, read_sidecar
from schemas.library.text_normalization import fold_file_name, normalize
from workers.library.scanner.file_context import FileContext

# The format allows headers of 100 MB. Real ones are far smaller, and many large ones could exhaust the memory.
MAX_HEADER_BYTES = 32 * 1024 * 1024
MAX_IMAGES = 200
MAGIC_BYTES = 8
# A bare pickle (protocol 2 and later, or 0), or the zip archive of newer PyTorch versions.
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_MAGICS = (b"\x80", ZIP_MAGIC, b"(")
# What stands at the end of an archive, before a comment of up to 64 KiB.
ZIP_END, ZIP_END_BYTES = b"PK\x05\x06", 22 + 65_535


def read_model_file(file: FileOnDisk, roots: Sequence[Path]) -> ScannedFile | None:
    """Return everything known about a file from the disk; None if it no longer exists.

    ``roots`` are all folders of the library; links may lead into any of them.
    """
    name = os.fsdecode(file.path.rpartition(b"/")[2])
    folder = os.path.dirname(os.path.join(os.fsencode(file.root), file.path))
    local = LocalFile(name, file.size_bytes, time_ms=file.mtime_ns // 1_000_000)
    context = FileContext(file, roots, folder, local)
    kind = FORMAT_BY_EXTENSION["." + name.rpartition(".")[2].lower()]
    if not _read_contents(context, kind):
        return None
    epoch = None if file.part else parse_epoch(local.stem)
    _read_name(context, local.stem, epoch)
    if file.part:
        _read_part(context, file.part)
    _read_sidecars(context, local.stem)
    _read_previews(context, local.stem)
    is_unread = any(problem.code == UNREADABLE for problem in context.problems)
    return ScannedFile(
        file=replace(file, companions_stamp=UNREAD_STAMP) if is_unread else file,
        kind=kind,
        layout=context.layout,
        header=context.header,
        source_metadata=tuple(context.source_metadata),
        images=tuple(context.images[:MAX_IMAGES]),
        problems=tuple(context.problems),
        epoch=epoch[1] if epoch else None,
        group_key=_group_key(file, epoch[0] if epoch else None),
    )


def minimal_record(scanned: ScannedFile) -> ScannedFile:
    """Reduce a file to what its name says, if the database cannot store the rest, and report the problem."""
    name = os.fsdecode(scanned.file.path.rpartition(b"/")[2])
    context = FileContext(scanned.file, (), b"", LocalFile(name, time_ms=scanned.file.mtime_ns // 1_000_000))
    _read_name(context, context.local.stem, None)
    message = "The file's metadata, or that of a file beside it, has values that the database cannot store."
    context.report_problem(scanned.file.path, "unfit", message)
    return ScannedFile(
        scanned.file,
        scanned.kind,
        source_metadata=tuple(context.source_metadata),
        problems=tuple(context.problems),
        moved_from=scanned.moved_from,
    )


def _group_key(file: FileOnDisk, training: str | None) -> str | None:
    """Return a key that the files of one model of several files share, or the epochs of one training in a folder."""
    root = os.fsencode(file.root)
    if file.part:
        return _digest(root, file.part.location, b"parts")
    folder = file.path.rpartition(b"/")[0]
    return None if training is None else _digest(root, folder, normalize(training).encode(errors="replace"))


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _read_name(context: FileContext, stem: str, epoch: tuple[str, int] | None) -> None:
    title = title_from_stem(epoch[0] if epoch else _name_of_model(context.file, stem))
    name = clean_line(os.fsencode(title).decode(errors="replace")) or "?"
    metadata = Metadata(name=name, version_name=f"Epoch {epoch[1]}" if epoch else "Local")
    context.add_metadata(Source.FILE_NAME, SourcePriority.GUESS, metadata)


def _name_of_model(file: FileOnDisk, stem: str) -> str:
    """Return the name of the file, or that of its folder if the file is named like many others."""
    folder = file.path.rpartition(b"/")[0]
    if file.part and file.part.part:
        return folder_title(os.fsdecode(file.part.location)) or file.root.rpartition("/")[2] or stem
    base = strip_shard(stem)
    title = folder_title(os.fsdecode(folder))
    return title if is_generic_stem(base) and title and not is_category_folder(title) else base


def _read_part(context: FileContext, part: ModelPart) -> None:
    """Record the model that the file is a part of. Only the main file's header has metadata of the whole model."""
    if context.header:
        context.header |= part.to_header()
    if not is_main_file(part.to_header()):
        context.source_metadata = [each for each in context.source_metadata if each.source != Source.HEADER]
    if part.part is None:
        return
    [named] = [each for each in context.source_metadata if each.source == Source.FILE_NAME]
    base_model = _read_diffusers_index(context, part) or find_base_model(named.metadata.name or "")
    metadata = replace(named.metadata, type=CHECKPOINT, base_model=base_model)
    context.source_metadata[context.source_metadata.index(named)] = replace(named, metadata=metadata)


def _read_diffusers_index(context: FileContext, part: ModelPart) -> str | None:
    """Return the base model that the list of the parts names; None if it names none or there is no list."""
    path = part.location + b"/" + INDEX_FILE if part.location else INDEX_FILE
    try:
        with context.open(path) as opened, io.BufferedReader(opened.file) as file:
            return read_diffusers_index(file.read(MAX_INDEX_BYTES + 1))
    except NotFound:
        return None
    except ServiceError as error:
        context.report_problem(path, UNREADABLE, error.message)
    except OSError as error:
        context.report_problem(path, UNREADABLE, f"The file cannot be read: {error.strerror}.")
    except FormatError as error:
        context.report_problem(path, error.code, str(error))
    return None


def _read_contents(context: FileContext, kind: FileFormat) -> bool:
    """Read the header; return False if the file no longer exists."""
    path = context.file.path
    try:
        with context.open(path) as opened, io.BufferedReader(opened.file) as file:
            check_is_model(file.peek(PEEK_BYTES)[:PEEK_BYTES], kind, context.file.size_bytes)
            _READERS[kind](context, file)
    except NotFound:
        return False
    except ServiceError as error:
        context.report_problem(path, UNREADABLE, error.message)
    except OSError as error:
        context.report_problem(path, UNREADABLE, f"The file cannot be read: {error.strerror}.")
    except FormatError as error:
        context.report_problem(path, error.code, str(error))
    return True


def _read_safetensors(context: FileContext, file: BinaryIO) -> None:
    size = context.file.size_bytes
    length = parse_header_length(file.read(PREFIX_BYTES), size)
    if length > MAX_HEADER_BYTES:
        message = f"The header has {length} bytes; at most {MAX_HEADER_BYTES} are read."
        raise FormatError("header_too_large", message)
    header = parse_header(file.read(length), size)
    training = parse_training_metadata(header.metadata)
    context.layout = _layout_digest(header)
    context.header = _header_summary(header, training)
    context.add_metadata(Source.HEADER, SourcePriority.HEADER, _header_metadata(header, training))
    if header.has_other_values:
        raise FormatError(
            "bad_metadata", f"{METADATA_KEY} has values that are not strings: most loaders refuse the file."
        )


def _layout_digest(header: SafetensorsHeader) -> str:
    """Return a digest of the tensors' names, types and shapes."""
    digest = hashlib.blake2b(digest_size=32)
    for name in sorted(header.tensors):
        tensor = header.tensors[name]
        digest.update(f"{name!r} {tensor.dtype} {tensor.shape}\n".encode(errors="replace"))
    return digest.hexdigest()


def _header_summary(header: SafetensorsHeader, training: TrainingMetadata) -> dict[str, Any]:
    summary = {
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
    return {name: value for name, value in summary.items() if value is not None}


def _header_metadata(header: SafetensorsHeader, training: TrainingMetadata) -> Metadata:
    return Metadata(
        name=clean_line(training.title or "") or None,
        type=tensor_names.find_type(header.tensors) or training.type,
        creator=clean_line(training.author or "") or None,
        description=training.description,
        base_model=training.base_model or tensor_names.find_base_model(header.tensors),
        trained_words=training.trigger_words,
        tags=training.tags,
        hashes=training.hashes or {},
    )


def _read_gguf(context: FileContext, file: BinaryIO) -> None:
    header = read_gguf_header(file)
    texts = {name: value for name, value in header.metadata.items() if isinstance(value, str)}
    context.header = {"format": "GGUF", "tensors": header.tensor_count}
    if architecture := texts.get("general.architecture"):
        context.header["architecture"] = clean_line(architecture)[:200]
    metadata = Metadata(
        name=clean_line(texts.get("general.name", "")) or None,
        creator=clean_line(texts.get("general.author", "")) or None,
        description=clean_multiline(texts.get("general.description", "")) or None,
        type=find_gguf_type(texts.get("general.architecture", "")),
        # Architectures of text encoders ("t5", "llama") are no base models.
        base_model=find_base_model(texts.get("general.architecture", "")),
    )
    context.add_metadata(Source.HEADER, SourcePriority.HEADER, metadata)
    if header.size_bytes > context.file.size_bytes:
        missing = header.size_bytes - context.file.size_bytes
        raise FormatError("truncated", f"{missing} bytes are missing at the end: an incomplete download?")


def _read_pickle(context: FileContext, file: BinaryIO) -> None:
    context.header = {"format": "PickleTensor"}
    beginning = file.read(MAGIC_BYTES)
    if not beginning.startswith(PICKLE_MAGICS):
        raise FormatError("unknown_format", "The file is neither a pickle nor an archive with one.")
    if beginning.startswith(ZIP_MAGIC):
        file.seek(max(0, context.file.size_bytes - ZIP_END_BYTES))
        if ZIP_END not in file.read(ZIP_END_BYTES):
            raise FormatError("truncated", "The archive has no end: an incomplete download?")


_READERS = {FileFormat.SAFETENSORS: _read_safetensors, FileFormat.GGUF: _read_gguf, FileFormat.PICKLE: _read_pickle}


def _read_sidecars(context: FileContext, stem: str) -> None:
    names = [os.fsdecode(name) for name in context.file.companion_names]
    ids = civitdl.parse_civitdl_ids(stem)
    if ids:
        metadata = Metadata(civitai_id=ids[0], civitai_version_id=ids[1])
        context.add_metadata(Source.CIVITDL, SourcePriority.GUESS, metadata)
        folder = civitdl.folder_name(ids[1])
        if folder in names:
            _read_civitdl_folder(context, folder, civitdl.model_dict_name(*ids))
    for name, source in find_sidecars(stem, names):
        _read_one_sidecar(context, name, source)


def _read_one_sidecar(context: FileContext, name: str, source: Source) -> None:
    content = context.read_sibling(name)
    if content is None:
        return
    try:
        context.source_metadata += read_sidecar(source, content[0], content[1], context.local)
    except FormatError as error:
        context.report_problem(context.sibling_path(name), error.code, str(error))


def _read_civitdl_folder(context: FileContext, folder: str, model_dict: str) -> None:
    """Read the folder that the downloader civitdl puts beside a model: Civitai's answer, and images with metadata."""
    try:
        names = [os.fsdecode(name) for name in os.listdir(os.path.join(context.folder, os.fsencode(folder)))]
    except OSError as error:
        message = f"The folder cannot be read: {error.strerror}."
        context.report_problem(context.sibling_path(folder), UNREADABLE, message)
        return
    if model_dict in names:
        _read_one_sidecar(context, f"{folder}/{model_dict}", Source.CIVITDL)
    listed = _listed_images(context)
    for name, entry in civitdl.find_images(names):
        own = _read_civitdl_image(context, f"{folder}/{entry}", name) if entry else None
        slot = os.fsencode(name).decode(errors="backslashreplace")
        path = f"{folder}/{name}"
        image = own or listed.get(name) or ImageMetadata(name)
        _add_image(context, f"{CIVITDL_SLOT}{slot}", path, image, context.sibling_stamp(path))


def _read_civitdl_image(context: FileContext, path: str, name: str) -> ImageMetadata | None:
    content = context.read_sibling(path)
    if content is None:
        return None
    try:
        return civitdl.read_image(content[0], name)
    except FormatError as error:
        context.report_problem(context.sibling_path(path), error.code, str(error))
        return None


def _read_previews(context: FileContext, stem: str) -> None:
    """Add the images beside the model that have its name, the newest first. The rest of an image's name is its slot."""
    names = [os.fsdecode(name) for name in context.file.companion_names]
    listed = _listed_images(context)
    stamps = {name: context.sibling_stamp(name) or "" for name in find_previews(stem, names)}
    for name in sorted(stamps, key=lambda name: int(stamps[name].rpartition("-")[2] or 0), reverse=True):
        slot = fold_file_name(name).removeprefix(fold_file_name(stem))
        metadata = replace(listed.get(name, ImageMetadata(name)), file=name)
        _add_image(context, f"{PREVIEW_SLOT}{slot}", name, metadata, stamps[name])


def _listed_images(context: FileContext) -> Mapping[str, ImageMetadata]:
    """Return the images that sidecars list, by file name."""
    return {image.file: image for source in context.source_metadata for image in source.metadata.images}


def _add_image(context: FileContext, slot: str, name: str, metadata: ImageMetadata, stamp: str | None) -> None:
    """Add an image; none if it has no stamp, because it is no file of the library."""
    if stamp:
        context.images.append(PreviewImage(slot, context.sibling_path(name), metadata, stamp))
