"""The library's commands that write and read: export, import, backup, restore."""

import contextlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from schemas.errors import NotFound
from schemas.images.inspected_image import MAX_IMAGE_BYTES
from schemas.library.formats.hashes import normalize_hashes
from schemas.library.metadata import ImageMetadata, Metadata, Source, SourceMetadata
from schemas.library.model_views import FileView, ModelView, VersionView
from schemas.library.sidecars import SIDECAR_SUFFIXES, LocalFile, SidecarError, civitdl, read_sidecar, write_sidecar
from schemas.library.sidecars.local_file import UNKNOWN_FILE
from stores.library import Library
from stores.library.backup import UserDataRecord
from stores.media import Media
from workers.library.cli.session import SEARCH_CONTEXT, find_models, open_library, printable, read_regular_file

MANIFEST_NAME = "library.json"
BACKUP_VERSION = 1
MAX_MANIFEST_BYTES = 256 * 1024 * 1024
# How many times smaller than itself what a backup holds may be in it.
MAX_COMPRESSION_RATIO = 1000
LARGEST_SIDECAR_BYTES = 8 * 1024 * 1024
SUFFIX_OF = {source: ending for ending, source in SIDECAR_SUFFIXES.items()}
FORMATS = {str(source).replace("_", "-"): source for source in (*SUFFIX_OF, Source.CIVITDL)}
# Short hashes are shared by files that have nothing to do with one another.
IDENTIFYING_HASHES = ("SHA256", "AutoV2", "AutoV3", "BLAKE3")
MAGIC_BYTES = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}
MODEL_DICT_NAME = re.compile(r"model_dict-mid_\d{1,18}-vid_\d{1,18}\.json", re.ASCII)
ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, RuntimeError)


@click.command(context_settings=SEARCH_CONTEXT)
@click.argument("form", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("search", nargs=-1)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="A folder; by default beside the models."
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def export(form: str, search: tuple[str, ...], into: Path | None, *, force: bool) -> None:
    """Write what is known of models as the files of another program."""
    counts = {"written": 0, "kept": 0, "failed": 0}
    with open_library() as (_, library):
        for model in find_models(library, search):
            for version, file in _present_files(model):
                path = _sidecar_path(FORMATS[form], file, into)
                if path is None or (os.path.lexists(path) and not force):
                    counts["kept"] += 1
                    continue
                content = write_sidecar(FORMATS[form], file_metadata(model, version, file), _local_file(version, file))
                counts["written" if _write_sidecar(path, content) else "failed"] += 1
    click.echo(f"{counts['written']} files written, {counts['kept']} left as they are, {counts['failed']} failed.")
    raise SystemExit(1 if counts["failed"] else 0)


def _present_files(model: ModelView) -> Iterator[tuple[VersionView, FileView]]:
    for version in model.versions:
        yield from ((version, file) for file in version.files if file.present and file.path is not None)


def _sidecar_path(source: Source, file: FileView, into: Path | None) -> Path | None:
    """Where a sidecar goes, in folders like the model's; None where the format has no place for this file."""
    root = into or Path(file.root)
    path = Path(os.fsdecode(os.path.join(os.fsencode(root), file.path or b"")))
    if source is not Source.CIVITDL:
        return path.with_name(f"{path.stem}{SUFFIX_OF[source]}")
    ids = civitdl.parse_civitdl_ids(path.stem)
    return path.parent / civitdl.folder_name(ids[1]) / civitdl.model_dict_name(*ids) if ids else None


def file_metadata(model: ModelView, version: VersionView, file: FileView) -> Metadata:
    """All that is known of a file, people's words before all others, as one source would say it."""
    own = version.facts
    return replace(
        model.facts,
        civitai_id=model.civitai_id,
        civitai_version_id=version.civitai_id,
        version_name=own.version_name,
        base_model=model.base_model if model.sources.get("base_model") == Source.USER else own.base_model,
        version_description=own.version_description,
        version_stats=own.version_stats,
        published_at=own.published_at,
        trained_words=own.trained_words or model.facts.trained_words,
        hashes=normalize_hashes(file.hashes),
        images=tuple(_catalog_image(image) for image in version.images if image.path is not None),
    )


def _catalog_image(image: Any) -> ImageMetadata:
    name = os.fsdecode(image.path).rpartition("/")[2]
    shape = {"width": image.width, "height": image.height, "nsfw_level": image.nsfw_level, "blurhash": image.blurhash}
    return ImageMetadata(name, prompt=image.prompt, params=image.params, **shape)


def _local_file(version: VersionView, file: FileView) -> LocalFile:
    name = os.fsdecode(file.path or b"").rpartition("/")[2]
    time_ms = file.mtime_ns // 1_000_000
    return LocalFile(name, file.size_bytes, normalize_hashes(file.hashes), version.civitai_id, time_ms)


def _write_sidecar(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; says so if that fails."""
    draft = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        click.echo(printable(f"not written  {path}: {error.strerror}"), err=True)
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        return False
    return True


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def import_(folder: Path) -> None:
    """Read the files of other programs below FOLDER, for models that are here by their content or their name."""
    taken = missed = 0
    with open_library() as (_, library):
        here = _present_versions(library)
        by_name = _index_by_name(here)
        for path, source, name in _find_sidecars(folder):
            done = _import_sidecar(library, path, source, {ident: here[ident] for ident in by_name.get(name, ())}, here)
            taken += done
            missed += not done
    click.echo(f"{taken} files read, {missed} belong to no model that is here.")


def _present_versions(library: Library) -> dict[int, LocalFile]:
    """The versions that are here, each with a file of it."""
    return {
        version.id: _local_file(version, file)
        for model in find_models(library, ())
        for version, file in _present_files(model)
    }


def _index_by_name(here: Mapping[int, LocalFile]) -> dict[str, set[int]]:
    """The versions by what the names of their sidecars begin with."""
    found: dict[str, set[int]] = {}
    for version_id, local in here.items():
        ids = civitdl.parse_civitdl_ids(local.stem)
        for name in (local.stem, civitdl.model_dict_name(*ids) if ids else local.stem):
            found.setdefault(name, set()).add(version_id)
    return found


def _import_sidecar(
    library: Library, path: Path, source: Source, named: Mapping[int, LocalFile], here: Mapping[int, LocalFile]
) -> bool:
    """Let the versions that a sidecar is about have what it says: those with a hash that it names, or of its name."""
    try:
        raw, time_ms = read_regular_file(path, LARGEST_SIDECAR_BYTES), path.stat().st_mtime_ns // 1_000_000
        claims = read_sidecar(source, raw, time_ms, next(iter(named.values()), UNKNOWN_FILE))
        meant = (_match_by_hash(library, claims, here) or named) if claims else {}
        for version_id, local in meant.items():
            library.scan_writer.import_metadata(version_id, read_sidecar(source, raw, time_ms, local))
    except (SidecarError, ValueError, OSError) as error:
        click.echo(printable(f"not read  {path}: {error}"), err=True)
        return False
    return bool(meant)


def _match_by_hash(
    library: Library, claims: Iterable[SourceMetadata], here: Mapping[int, LocalFile]
) -> dict[int, LocalFile]:
    """The versions with a hash that is named; of a list of versions, each as that of the list which names it."""
    found: dict[int, LocalFile] = {}
    for facts in (claim.metadata for claim in claims):
        listed = [(file.hashes, one.id) for one in facts.versions for file in one.files]
        for hashes, listed_id in ((facts.hashes, facts.civitai_version_id), *listed):
            telling = [value for name, value in normalize_hashes(hashes).items() if name in IDENTIFYING_HASHES]
            for ident in (ident for value in telling for ident in library.file_hashes.find_versions(value)):
                if ident in here:
                    found.setdefault(ident, replace(here[ident], known_version_id=listed_id))
    return found


def _find_sidecars(folder: Path) -> Iterator[tuple[Path, Source, str]]:
    for place, _, names in os.walk(folder):
        if Path(place).name.startswith(civitdl.FOLDER_PREFIX):
            answers = [name for name in names if MODEL_DICT_NAME.fullmatch(name)]
            yield from ((Path(place, name), Source.CIVITDL, name) for name in sorted(answers))
            continue
        for name in sorted(names):
            ending = next((end for end in SIDECAR_SUFFIXES if name.lower().endswith(end)), None)
            if ending and name[: -len(ending)]:
                yield Path(place, name), SIDECAR_SUFFIXES[ending], name[: -len(ending)]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write what people have written about models, and the pictures that they gave, into FILE, a zip archive."""
    with open_library() as (settings, library):
        media = Media(settings.media_url)
        written = list(library.backups.export())
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            _write_archive(draft, written, media)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    click.echo(f"{len(written)} models, {sum(len(one.images) for one in written)} pictures.")


def _write_archive(draft: Path, written: Sequence[UserDataRecord], media: Media) -> None:
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        listing = {"version": BACKUP_VERSION, "models": [one.to_json() for one in written]}
        archive.writestr(MANIFEST_NAME, json.dumps(listing))
        for key in sorted({key for one in written for key in _media_keys(one)}):
            try:
                archive.writestr(zipfile.ZipInfo(key), media.get(key))
            except NotFound:
                click.echo(f"missing   {key}", err=True)


def _media_keys(written: UserDataRecord) -> Iterator[str]:
    yield from (str(one[name]) for one in written.images for name in ("media_key", "thumb_key") if one.get(name))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Take back what the backup FILE holds; what was written later stays. Models may come afterwards."""
    with open_library() as (settings, library):
        try:
            with zipfile.ZipFile(file) as archive:
                written = _read_manifest(archive)
                missing, media = _check_media(archive, written), Media(settings.media_url)
                for key in sorted(key for key in missing if not media.exists(key)):
                    click.echo(f"missing   {key}", err=True)
                # Nothing is written before all of it has been looked at.
                states = [_restore_model(archive, media, library, one, missing) for one in written]
        except ARCHIVE_ERRORS as error:
            raise click.ClickException(printable(f"{file} is no backup of a library: {error}")) from error
    waiting = states.count("waiting")
    click.echo(f"{len(states)} models taken back, {waiting} of them wait for their files.")


def _read_manifest(archive: zipfile.ZipFile) -> list[UserDataRecord]:
    about = archive.getinfo(MANIFEST_NAME)
    if about.file_size > MAX_MANIFEST_BYTES:
        raise ValueError("its listing is too large")
    _check_compression(about)
    said = json.loads(archive.read(about))
    if not isinstance(said, dict) or said.get("version") != BACKUP_VERSION or not isinstance(said.get("models"), list):
        raise ValueError(f"its listing is none of version {BACKUP_VERSION}")
    return [UserDataRecord.from_json(one) for one in said["models"]]


def _check_compression(about: zipfile.ZipInfo) -> None:
    if about.file_size > MAX_COMPRESSION_RATIO * max(1, about.compress_size):
        raise ValueError(f"{about.filename} is packed too densely")


def _check_media(archive: zipfile.ZipFile, written: Sequence[UserDataRecord]) -> set[str]:
    """Look at all pictures; those that were missing already when the backup was made."""
    present = set(archive.namelist())
    for one in written:
        for image in one.images:
            for key, kind in ((image["media_key"], image["media_type"]), (image["thumb_key"], "image/webp")):
                if key in present:
                    _check_image(archive, key, kind)
    return {key for one in written for key in _media_keys(one)} - present


def _check_image(archive: zipfile.ZipFile, key: str, kind: str) -> None:
    about = archive.getinfo(key)
    if about.file_size > MAX_IMAGE_BYTES:
        raise ValueError(f"{key} is too large")
    _check_compression(about)
    if not archive.read(about).startswith(MAGIC_BYTES[kind]):
        raise ValueError(f"{key} is no picture of type {kind}")


def _restore_model(
    archive: zipfile.ZipFile, media: Media, library: Library, one: UserDataRecord, missing: set[str]
) -> str:
    """The pictures of a model, under the keys that they had, and then its rows; what is here already stays."""
    there = [image for image in one.images if image["media_key"] not in missing or media.exists(image["media_key"])]
    kept = replace(one, images=tuple(there))
    for key in _media_keys(kept):
        if key not in missing and not media.exists(key):
            media.put(key, archive.read(key))
    return library.backups.restore(kept)
