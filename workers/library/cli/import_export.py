"""The library commands that write: export, import, backup, restore.

``export`` and ``import`` exchange sidecar files with other programs. ``backup`` and ``restore`` carry what users have
added (edits and uploaded images) in a zip archive; restoring never overwrites newer data. Archives and sidecars are
untrusted: sizes, compression ratios and image types are checked before anything is written.
"""

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import click

from ops.infra.files.atomic_write import atomic_file, write_atomically
from schemas.errors import NotFound
from schemas.images import formats
from schemas.images.inspected_image import MAX_IMAGE_BYTES
from schemas.library.formats.hashes import normalize_hashes
from schemas.library.metadata import ImageMetadata, Metadata, Source, SourceMetadata
from schemas.library.model_parts import is_main_file
from schemas.library.model_views import FileView, ImageView, ModelView, VersionView
from schemas.library.sidecars import SIDECAR_SUFFIXES, LocalFile, civitdl, read_sidecar, write_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE
from schemas.untrusted_json import JsonReader
from stores.library import Library
from stores.library.backup import UserDataRecord
from stores.media import Media
from workers.library.cli.session import SEARCH_CONTEXT, find_models, open_library, printable, read_regular_file
from workers.library.scanner.file_context import MAX_SIDECAR_BYTES

MANIFEST_NAME = "library.json"
BACKUP_VERSION = 1
MANIFEST_READER = JsonReader("The manifest")
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
# A member that unpacks to more than this many times its packed size is taken for a zip bomb.
MAX_COMPRESSION_RATIO = 1000
SUFFIX_OF = {source: suffix for suffix, source in SIDECAR_SUFFIXES.items()}
FORMATS = {str(source).replace("_", "-"): source for source in (*SUFFIX_OF, Source.CIVITDL)}
# The other hashes are too short to identify a file.
IDENTIFYING_HASHES = ("SHA256", "AutoV2", "AutoV3", "BLAKE3")
MODEL_DICT_NAME = re.compile(r"model_dict-mid_\d{1,18}-vid_\d{1,18}\.json", re.ASCII)
# zipfile and the reading of records raise these for damaged, encrypted or malformed archives.
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, RuntimeError)


@click.command(context_settings=SEARCH_CONTEXT)
@click.argument("format_name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("search", nargs=-1)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="Target folder; default: beside the models."
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def export(format_name: str, search: tuple[str, ...], into: Path | None, *, force: bool) -> None:
    """Write the metadata of models as sidecar files of another program."""
    source = FORMATS[format_name]
    counts = {"written": 0, "skipped": 0, "failed": 0}
    with open_library() as (_, library):
        for model in find_models(library, search):
            for version, file in _present_files(model):
                path = _sidecar_path(source, file, into)
                if path is None or (os.path.lexists(path) and not force):
                    counts["skipped"] += 1
                    continue
                content = write_sidecar(source, file_metadata(model, version, file), _local_file(version, file))
                counts["written" if _write_sidecar(path, content) else "failed"] += 1
    click.echo(f"{counts['written']} files written, {counts['skipped']} skipped, {counts['failed']} failed.")
    raise SystemExit(1 if counts["failed"] else 0)


def _present_files(model: ModelView) -> Iterator[tuple[VersionView, FileView]]:
    """Yield the files on disk that sidecars belong to; of models of several files the main ones."""
    for version in model.versions:
        present = (file for file in version.files if file.is_present and file.path is not None)
        yield from ((version, file) for file in present if is_main_file(file.header))


def _sidecar_path(source: Source, file: FileView, into: Path | None) -> Path | None:
    """Return the path of a model file's sidecar; None if the format cannot describe this file.

    Below ``into`` the folders of the library are repeated.
    """
    root = into or Path(file.root)
    path = Path(os.fsdecode(os.path.join(os.fsencode(root), file.path or b"")))
    if source is not Source.CIVITDL:
        return path.with_name(f"{path.stem}{SUFFIX_OF[source]}")
    ids = civitdl.parse_civitdl_ids(path.stem)
    return path.parent / civitdl.folder_name(ids[1]) / civitdl.model_dict_name(*ids) if ids else None


def file_metadata(model: ModelView, version: VersionView, file: FileView) -> Metadata:
    """Combine the merged metadata of model, version and file into the metadata of one sidecar. User edits win."""
    own = version.metadata
    return replace(
        model.metadata,
        civitai_id=model.civitai_id,
        civitai_version_id=version.civitai_id,
        version_name=own.version_name,
        base_model=model.base_model if model.sources.get("base_model") == Source.USER else own.base_model,
        version_description=own.version_description,
        version_stats=own.version_stats,
        published_at=own.published_at,
        trained_words=own.trained_words or model.metadata.trained_words,
        hashes=normalize_hashes(file.hashes),
        images=tuple(_image_metadata(image, image.path) for image in version.images if image.path is not None),
    )


def _image_metadata(image: ImageView, path: bytes) -> ImageMetadata:
    return ImageMetadata(
        os.fsdecode(path).rpartition("/")[2],
        prompt=image.prompt,
        params=image.params,
        width=image.width,
        height=image.height,
        nsfw_level=image.nsfw_level,
        blurhash=image.blurhash,
    )


def _local_file(version: VersionView, file: FileView) -> LocalFile:
    name = os.fsdecode(file.path or b"").rpartition("/")[2]
    time_ms = file.mtime_ns // 1_000_000
    return LocalFile(name, file.size_bytes, normalize_hashes(file.hashes), version.civitai_id, time_ms)


def _write_sidecar(path: Path, content: bytes) -> bool:
    """Write a file atomically; on failure print a line and return False."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not flushed to disk one by one: an export of a large library would take minutes longer.
        write_atomically(path, content, durable=False)
    except OSError as error:
        click.echo(printable(f"not written  {path}: {error.strerror}"), err=True)
        return False
    return True


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def import_(folder: Path) -> None:
    """Read sidecar files of other programs below FOLDER, matched to models by hash or by name."""
    imported = unmatched = 0
    with open_library() as (_, library):
        versions = _present_versions(library)
        ids_by_name = _index_by_name(versions)
        for path, source, name in _find_sidecars(folder):
            named = {version_id: versions[version_id] for version_id in ids_by_name.get(name, ())}
            is_imported = _import_sidecar(library, path, source, named, versions)
            imported += is_imported
            unmatched += not is_imported
    click.echo(f"{imported} files imported, {unmatched} without a matching model.")


def _present_versions(library: Library) -> dict[int, LocalFile]:
    """Return the versions on disk by id, each with one of its files."""
    return {
        version.id: _local_file(version, file)
        for model in find_models(library, ())
        for version, file in _present_files(model)
    }


def _index_by_name(versions: Mapping[int, LocalFile]) -> dict[str, set[int]]:
    """Return version ids by the names that their sidecars have without the suffix."""
    index: dict[str, set[int]] = {}
    for version_id, local in versions.items():
        ids = civitdl.parse_civitdl_ids(local.stem)
        for name in (local.stem, civitdl.model_dict_name(*ids) if ids else local.stem):
            index.setdefault(name, set()).add(version_id)
    return index


def _import_sidecar(
    library: Library, path: Path, source: Source, named: Mapping[int, LocalFile], versions: Mapping[int, LocalFile]
) -> bool:
    """Store a sidecar's metadata for the versions whose hash it names, else for those of its name.

    ``named`` are the versions of the sidecar's name, ``versions`` all versions on disk. Returns whether any matched.
    """
    try:
        raw, time_ms = read_regular_file(path, MAX_SIDECAR_BYTES), path.stat().st_mtime_ns // 1_000_000
        metadata = read_sidecar(source, raw, time_ms, next(iter(named.values()), UNKNOWN_FILE))
        matches = (_match_by_hash(library, metadata, versions) or named) if metadata else {}
        for version_id, local in matches.items():
            # Read again for each version: a sidecar that lists several versions means another one for each file.
            library.scan_writer.import_metadata(version_id, read_sidecar(source, raw, time_ms, local))
    except (ValueError, OSError) as error:
        click.echo(printable(f"not read  {path}: {error}"), err=True)
        return False
    return bool(matches)


def _match_by_hash(
    library: Library, metadata: Iterable[SourceMetadata], versions: Mapping[int, LocalFile]
) -> dict[int, LocalFile]:
    """Return the versions that have a hash named in the metadata.

    If the metadata lists several versions, each match gets the id of the listed version that has its hash.
    """
    matches: dict[int, LocalFile] = {}
    for item in (source_metadata.metadata for source_metadata in metadata):
        listed = [(file.hashes, version.id) for version in item.versions for file in version.files]
        for hashes, listed_id in ((item.hashes, item.civitai_version_id), *listed):
            values = [value for name, value in normalize_hashes(hashes).items() if name in IDENTIFYING_HASHES]
            for version_id in (found for value in values for found in library.file_hashes.find_versions(value)):
                if version_id in versions:
                    matches.setdefault(version_id, replace(versions[version_id], known_version_id=listed_id))
    return matches


def _find_sidecars(folder: Path) -> Iterator[tuple[Path, Source, str]]:
    """Yield each sidecar's path, format, and name without the suffix."""
    for directory, _, names in os.walk(folder):
        if Path(directory).name.startswith(civitdl.FOLDER_PREFIX):
            model_dicts = [name for name in names if MODEL_DICT_NAME.fullmatch(name)]
            yield from ((Path(directory, name), Source.CIVITDL, name) for name in sorted(model_dicts))
            continue
        for name in sorted(names):
            suffix = next((suffix for suffix in SIDECAR_SUFFIXES if name.lower().endswith(suffix)), None)
            if suffix and name[: -len(suffix)]:
                yield Path(directory, name), SIDECAR_SUFFIXES[suffix], name[: -len(suffix)]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write users' edits and uploaded images into FILE, a zip archive."""
    with open_library() as (settings, library):
        media = Media(settings.media_url)
        records = list(library.backups.export())
        with atomic_file(file) as archive_file:
            _write_archive(archive_file, records, media)
    click.echo(f"{len(records)} models, {sum(len(record.images) for record in records)} images.")


def _write_archive(file: BinaryIO, records: Sequence[UserDataRecord], media: Media) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        manifest = {"version": BACKUP_VERSION, "models": [record.to_json() for record in records]}
        archive.writestr(MANIFEST_NAME, json.dumps(manifest))
        for key in sorted({key for record in records for key in _media_keys(record)}):
            try:
                # ZipInfo stores without compression: images are compressed already.
                archive.writestr(zipfile.ZipInfo(key), media.get(key))
            except NotFound:
                click.echo(f"missing   {key}", err=True)


def _media_keys(record: UserDataRecord) -> Iterator[str]:
    yield from (str(image[name]) for image in record.images for name in ("media_key", "thumb_key") if image.get(name))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Restore the backup FILE. Newer edits stay. Models that are not on disk wait for their files."""
    with open_library() as (settings, library):
        try:
            with zipfile.ZipFile(file) as archive:
                records = _read_manifest(archive)
                missing, media = _check_media(archive, records), Media(settings.media_url)
                for key in sorted(key for key in missing if not media.exists(key)):
                    click.echo(f"missing   {key}", err=True)
                # The whole archive has been checked by now, so a bad one changes nothing.
                states = [_restore_model(archive, media, library, record, missing) for record in records]
        except ARCHIVE_ERRORS as error:
            raise click.ClickException(printable(f"{file} is not a library backup: {error}")) from error
    click.echo(f"{len(states)} models restored, {states.count('waiting')} of them wait for their files.")


def _read_manifest(archive: zipfile.ZipFile) -> list[UserDataRecord]:
    info = archive.getinfo(MANIFEST_NAME)
    if info.file_size > MAX_MANIFEST_BYTES:
        raise ValueError("its manifest is too large")
    _check_compression(info)
    manifest = MANIFEST_READER.parse(archive.read(info).decode())
    if not isinstance(manifest, dict) or manifest.get("version") != BACKUP_VERSION:
        raise ValueError(f"its manifest does not have version {BACKUP_VERSION}")
    if not isinstance(manifest.get("models"), list):
        raise ValueError("its manifest lists no models")  # noqa: TRY004 - all faults of an archive are ValueErrors
    return [UserDataRecord.from_json(model) for model in manifest["models"]]


def _check_compression(info: zipfile.ZipInfo) -> None:
    if info.file_size > MAX_COMPRESSION_RATIO * max(1, info.compress_size):
        raise ValueError(f"{info.filename} has an implausible compression ratio")


def _check_media(archive: zipfile.ZipFile, records: Sequence[UserDataRecord]) -> set[str]:
    """Check every image in the archive; return the keys that the manifest names and the archive lacks."""
    present = set(archive.namelist())
    for record in records:
        for image in record.images:
            for key, media_type in ((image["media_key"], image["media_type"]), (image["thumb_key"], "image/webp")):
                if key in present:
                    _check_image(archive, key, media_type)
    return {key for record in records for key in _media_keys(record)} - present


def _check_image(archive: zipfile.ZipFile, key: str, media_type: str) -> None:
    info = archive.getinfo(key)
    if info.file_size > MAX_IMAGE_BYTES:
        raise ValueError(f"{key} is too large")
    _check_compression(info)
    if formats.detect(archive.read(info)) is not formats.BY_MEDIA_TYPE[media_type]:
        raise ValueError(f"{key} is not an image of type {media_type}")


def _restore_model(
    archive: zipfile.ZipFile, media: Media, library: Library, record: UserDataRecord, missing: set[str]
) -> str:
    """Restore a model's images under their original keys, then its rows; return its state.

    Images come first, so that no row ever refers to an image that is not stored. Existing images and rows stay.
    """
    images = [image for image in record.images if image["media_key"] not in missing or media.exists(image["media_key"])]
    restorable = replace(record, images=tuple(images))
    for key in _media_keys(restorable):
        if key not in missing and not media.exists(key):
            media.put(key, archive.read(key))
    return library.backups.restore(restorable)
