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
from schemas.images.inspected_image import MOST_BYTES
from schemas.library.formats.hashes import cleaned
from schemas.library.metadata import Claim, Facts, SaidImage, Source
from schemas.library.model_views import ShownFile, ShownModel, ShownVersion
from schemas.library.sidecars import ENDINGS, LocalFile, SidecarError, civitdl, read, write
from schemas.library.sidecars.local_file import UNKNOWN
from stores.library import Library
from stores.library.backup import Written
from stores.media import Media
from workers.library.cli.session import SEARCHING, content_of, found_by, opened, plain

LISTING = "library.json"
VERSION = 1
MOST_LISTING_BYTES = 256 * 1024 * 1024
# How many times smaller than itself what a backup holds may be in it.
DENSEST = 1000
LARGEST_SIDECAR_BYTES = 8 * 1024 * 1024
ENDING_OF = {source: ending for ending, source in ENDINGS.items()}
FORMATS = {str(source).replace("_", "-"): source for source in (*ENDING_OF, Source.CIVITDL)}
# Short hashes are shared by files that have nothing to do with one another.
TELLING = ("SHA256", "AutoV2", "AutoV3", "BLAKE3")
BEGINNINGS = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8", "image/webp": b"RIFF"}
ANSWER = re.compile(r"model_dict-mid_\d{1,18}-vid_\d{1,18}\.json", re.ASCII)
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, TypeError, RuntimeError)


@click.command(context_settings=SEARCHING)
@click.argument("form", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("search", nargs=-1)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="A folder; by default beside the models."
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def export(form: str, search: tuple[str, ...], into: Path | None, *, force: bool) -> None:
    """Write what is known of models as the files of another program."""
    counts = {"written": 0, "kept": 0, "failed": 0}
    with opened() as (_, library):
        for model in found_by(library, search):
            for version, file in _here(model):
                path = _place(FORMATS[form], file, into)
                if path is None or (os.path.lexists(path) and not force):
                    counts["kept"] += 1
                    continue
                content = write(FORMATS[form], facts_of(model, version, file), _local(version, file))
                counts["written" if _written(path, content) else "failed"] += 1
    click.echo(f"{counts['written']} files written, {counts['kept']} left as they are, {counts['failed']} failed.")
    raise SystemExit(1 if counts["failed"] else 0)


def _here(model: ShownModel) -> Iterator[tuple[ShownVersion, ShownFile]]:
    for version in model.versions:
        yield from ((version, file) for file in version.files if file.present and file.path is not None)


def _place(source: Source, file: ShownFile, into: Path | None) -> Path | None:
    """Where a sidecar goes, in folders like the model's; None where the format has no place for this file."""
    root = into or Path(file.root)
    path = Path(os.fsdecode(os.path.join(os.fsencode(root), file.path or b"")))
    if source is not Source.CIVITDL:
        return path.with_name(f"{path.stem}{ENDING_OF[source]}")
    ids = civitdl.civitdl_ids(path.stem)
    return path.parent / civitdl.folder_of(ids[1]) / civitdl.model_dict_of(*ids) if ids else None


def facts_of(model: ShownModel, version: ShownVersion, file: ShownFile) -> Facts:
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
        hashes=cleaned(file.hashes),
        images=tuple(_said(image) for image in version.images if image.path is not None),
    )


def _said(image: Any) -> SaidImage:
    name = os.fsdecode(image.path).rpartition("/")[2]
    shape = {"width": image.width, "height": image.height, "nsfw_level": image.nsfw_level, "blurhash": image.blurhash}
    return SaidImage(name, prompt=image.prompt, params=image.params, **shape)


def _local(version: ShownVersion, file: ShownFile) -> LocalFile:
    name = os.fsdecode(file.path or b"").rpartition("/")[2]
    time_ms = file.mtime_ns // 1_000_000
    return LocalFile(name, file.size_bytes, cleaned(file.hashes), version.civitai_id, time_ms)


def _written(path: Path, content: bytes) -> bool:
    """Write a file whole or not at all; says so if that fails."""
    draft = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        click.echo(plain(f"not written  {path}: {error.strerror}"), err=True)
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        return False
    return True


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def import_(folder: Path) -> None:
    """Read the files of other programs below FOLDER, for models that are here by their content or their name."""
    taken = missed = 0
    with opened() as (_, library):
        here = _locals(library)
        by_name = _by_name(here)
        for path, source, name in _sidecars(folder):
            done = _taken(library, path, source, {ident: here[ident] for ident in by_name.get(name, ())}, here)
            taken += done
            missed += not done
    click.echo(f"{taken} files read, {missed} belong to no model that is here.")


def _locals(library: Library) -> dict[int, LocalFile]:
    """The versions that are here, each with a file of it."""
    return {version.id: _local(version, file) for model in found_by(library, ()) for version, file in _here(model)}


def _by_name(here: Mapping[int, LocalFile]) -> dict[str, set[int]]:
    """The versions by what the names of their sidecars begin with."""
    found: dict[str, set[int]] = {}
    for version_id, local in here.items():
        ids = civitdl.civitdl_ids(local.stem)
        for name in (local.stem, civitdl.model_dict_of(*ids) if ids else local.stem):
            found.setdefault(name, set()).add(version_id)
    return found


def _taken(
    library: Library, path: Path, source: Source, named: Mapping[int, LocalFile], here: Mapping[int, LocalFile]
) -> bool:
    """Let the versions that a sidecar is about have what it says: those with a hash that it names, or of its name."""
    try:
        raw, time_ms = content_of(path, LARGEST_SIDECAR_BYTES), path.stat().st_mtime_ns // 1_000_000
        claims = read(source, raw, time_ms, next(iter(named.values()), UNKNOWN))
        meant = (_by_hash(library, claims, here) or named) if claims else {}
        for version_id, local in meant.items():
            library.recording.believe(version_id, read(source, raw, time_ms, local))
    except (SidecarError, ValueError, OSError) as error:
        click.echo(plain(f"not read  {path}: {error}"), err=True)
        return False
    return bool(meant)


def _by_hash(library: Library, claims: Iterable[Claim], here: Mapping[int, LocalFile]) -> dict[int, LocalFile]:
    """The versions with a hash that is named; of a list of versions, each as that of the list which names it."""
    found: dict[int, LocalFile] = {}
    for facts in (claim.facts for claim in claims):
        listed = [(file.hashes, one.id) for one in facts.versions for file in one.files]
        for hashes, listed_id in ((facts.hashes, facts.civitai_version_id), *listed):
            telling = [value for name, value in cleaned(hashes).items() if name in TELLING]
            for ident in (ident for value in telling for ident in library.hashing.find_versions(value)):
                if ident in here:
                    found.setdefault(ident, replace(here[ident], version_id=listed_id))
    return found


def _sidecars(folder: Path) -> Iterator[tuple[Path, Source, str]]:
    for place, _, names in os.walk(folder):
        if Path(place).name.startswith(civitdl.FOLDER_PREFIX):
            answers = [name for name in names if ANSWER.fullmatch(name)]
            yield from ((Path(place, name), Source.CIVITDL, name) for name in sorted(answers))
            continue
        for name in sorted(names):
            ending = next((end for end in ENDINGS if name.lower().endswith(end)), None)
            if ending and name[: -len(ending)]:
                yield Path(place, name), ENDINGS[ending], name[: -len(ending)]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write what people have written about models, and the pictures that they gave, into FILE, a zip archive."""
    with opened() as (settings, library):
        media = Media(settings.media_url)
        written = list(library.backups.all())
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            _fill(draft, written, media)
            draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    click.echo(f"{len(written)} models, {sum(len(one.images) for one in written)} pictures.")


def _fill(draft: Path, written: Sequence[Written], media: Media) -> None:
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        listing = {"version": VERSION, "models": [one.to_json() for one in written]}
        archive.writestr(LISTING, json.dumps(listing))
        for key in sorted({key for one in written for key in _keys(one)}):
            try:
                archive.writestr(zipfile.ZipInfo(key), media.get(key))
            except NotFound:
                click.echo(f"missing   {key}", err=True)


def _keys(written: Written) -> Iterator[str]:
    yield from (str(one[name]) for one in written.images for name in ("media_key", "thumb_key") if one.get(name))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Take back what the backup FILE holds; what was written later stays. Models may come afterwards."""
    with opened() as (settings, library):
        try:
            with zipfile.ZipFile(file) as archive:
                written = _listing(archive)
                missing, media = _check_media(archive, written), Media(settings.media_url)
                for key in sorted(key for key in missing if not media.exists(key)):
                    click.echo(f"missing   {key}", err=True)
                # Nothing is written before all of it has been looked at.
                states = [_take_back(archive, media, library, one, missing) for one in written]
        except BROKEN as error:
            raise click.ClickException(plain(f"{file} is no backup of a library: {error}")) from error
    waiting = states.count("waiting")
    click.echo(f"{len(states)} models taken back, {waiting} of them wait for their files.")


def _listing(archive: zipfile.ZipFile) -> list[Written]:
    about = archive.getinfo(LISTING)
    if about.file_size > MOST_LISTING_BYTES:
        raise ValueError("its listing is too large")
    _require_plain(about)
    said = json.loads(archive.read(about))
    if not isinstance(said, dict) or said.get("version") != VERSION or not isinstance(said.get("models"), list):
        raise ValueError(f"its listing is none of version {VERSION}")
    return [Written.from_json(one) for one in said["models"]]


def _require_plain(about: zipfile.ZipInfo) -> None:
    if about.file_size > DENSEST * max(1, about.compress_size):
        raise ValueError(f"{about.filename} is packed too densely")


def _check_media(archive: zipfile.ZipFile, written: Sequence[Written]) -> set[str]:
    """Look at all pictures; those that were missing already when the backup was made."""
    present = set(archive.namelist())
    for one in written:
        for image in one.images:
            for key, kind in ((image["media_key"], image["media_type"]), (image["thumb_key"], "image/webp")):
                if key in present:
                    _check_picture(archive, key, kind)
    return {key for one in written for key in _keys(one)} - present


def _check_picture(archive: zipfile.ZipFile, key: str, kind: str) -> None:
    about = archive.getinfo(key)
    if about.file_size > MOST_BYTES:
        raise ValueError(f"{key} is too large")
    _require_plain(about)
    if not archive.read(about).startswith(BEGINNINGS[kind]):
        raise ValueError(f"{key} is no picture of type {kind}")


def _take_back(archive: zipfile.ZipFile, media: Media, library: Library, one: Written, missing: set[str]) -> str:
    """The pictures of a model, under the keys that they had, and then its rows; what is here already stays."""
    there = [image for image in one.images if image["media_key"] not in missing or media.exists(image["media_key"])]
    kept = replace(one, images=tuple(there))
    for key in _keys(kept):
        if key not in missing and not media.exists(key):
            media.put(key, archive.read(key))
    return library.backups.take_back(kept)
