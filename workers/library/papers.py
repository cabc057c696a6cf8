"""Owns the library's commands that write and read: export, import, backup, restore.

Run by ``workers.library.__main__``.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from schemas.errors import NotFound
from schemas.library.facts import Claim, Facts, SaidImage, Source
from schemas.library.hashes import cleaned
from schemas.library.shown import ShownFile, ShownModel, ShownVersion
from schemas.library.sidecars import ENDINGS, LocalFile, SidecarError, civitdl, read, sidecars_of, write
from stores.library import Library
from stores.library.backups import Written
from stores.media import Media
from workers.library.desk import found_by, opened

LISTING = "library.json"
MOST_LISTING_BYTES = 256 * 1024 * 1024
MOST_IMAGE_BYTES = 64 * 1024 * 1024
LARGEST_SIDECAR_BYTES = 8 * 1024 * 1024
ENDING_OF = {source: ending for ending, source in ENDINGS.items()}
FORMATS = {str(source).replace("_", "-"): source for source in (*ENDING_OF, Source.CIVITDL)}


@click.command()
@click.argument("form", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.argument("search", nargs=-1)
@click.option(
    "--into", type=click.Path(path_type=Path, file_okay=False), help="A folder; by default beside the models."
)
@click.option("--force", is_flag=True, help="Write over files that are there.")
def export(form: str, search: tuple[str, ...], into: Path | None, *, force: bool) -> None:
    """Write what is known of models as the files of another program."""
    written = kept = 0
    with opened() as (_, library):
        for model in found_by(library, search):
            for version, file in _here(model):
                path = _place(FORMATS[form], file, into)
                if path is None or (path.exists() and not force):
                    kept += 1
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(path, write(FORMATS[form], facts_of(model, version, file), _local(version, file)))
                written += 1
    click.echo(f"{written} files written, {kept} left as they are.")


def _here(model: ShownModel) -> Iterator[tuple[ShownVersion, ShownFile]]:
    for version in model.versions:
        yield from ((version, file) for file in version.files if file.present and file.path is not None)


def _place(source: Source, file: ShownFile, into: Path | None) -> Path | None:
    """Where a sidecar goes; None where the format has no place for this file."""
    path = Path(os.fsdecode(os.path.join(os.fsencode(file.root), file.path or b"")))
    folder = into or path.parent
    if source is not Source.CIVITDL:
        return folder / f"{path.stem}{ENDING_OF[source]}"
    ids = civitdl.civitdl_ids(path.stem)
    return folder / civitdl.folder_of(ids[1]) / civitdl.model_dict_of(*ids) if ids else None


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


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)


@click.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def import_(folder: Path) -> None:
    """Read the files of other programs below FOLDER, for models that are here by their content or their name."""
    taken = missed = 0
    with opened() as (_, library):
        by_stem = _by_stem(library)
        for path, source in _sidecars(folder):
            claims = _claims(path, source)
            stem = path.name[: -len(ENDING_OF[source])]
            ids = _meant(library, claims, by_stem.get(stem, set()))
            for version_id in ids:
                library.recording.believe(version_id, claims)
            taken += bool(ids)
            missed += not ids
    click.echo(f"{taken} files read, {missed} belong to no model that is here.")


def _by_stem(library: Library) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for model in found_by(library, ()):
        for version, file in _here(model):
            found.setdefault(os.fsdecode(file.path or b"").rpartition("/")[2].rpartition(".")[0], set()).add(version.id)
    return found


def _sidecars(folder: Path) -> Iterator[tuple[Path, Source]]:
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            ending = next((end for end in ENDINGS if name.lower().endswith(end)), None)
            if ending and sidecars_of(name[: -len(ending)], [name]):
                yield Path(place, name), ENDINGS[ending]


def _claims(path: Path, source: Source) -> list[Claim]:
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_SIDECAR_BYTES + 1)
        return read(source, raw, path.stat().st_mtime_ns // 1_000_000)
    except (SidecarError, OSError) as error:
        click.echo(f"not read  {path}: {error}", err=True)
        return []


def _meant(library: Library, claims: list[Claim], by_name: set[int]) -> set[int]:
    """The versions that claims are about: those with a hash that is named, or else those of the name."""
    named = [value for claim in claims for value in cleaned(claim.facts.hashes).values()]
    by_hash = {ident for value in named for ident in library.hashing.find_versions(value)}
    return (by_hash or by_name) if claims else set()


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def backup(file: Path) -> None:
    """Write what people have written about models, and the pictures that they gave, into FILE, a zip archive."""
    with opened() as (settings, library):
        media = Media(settings.media_url)
        written = list(library.backups.all())
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(LISTING, json.dumps({"version": 1, "models": [one.to_json() for one in written]}))
            for key in sorted({key for one in written for key in _keys(one)}):
                try:
                    archive.writestr(zipfile.ZipInfo(key), media.get(key))
                except NotFound:
                    click.echo(f"missing   {key}", err=True)
        draft.replace(file)
    click.echo(f"{len(written)} models, {sum(len(one.images) for one in written)} pictures.")


def _keys(written: Written) -> Iterator[str]:
    yield from (str(one[name]) for one in written.images for name in ("media_key", "thumb_key") if one.get(name))


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore(file: Path) -> None:
    """Take back what the backup FILE holds; what was written later stays. Models may come afterwards."""
    with opened() as (settings, library):
        media, backups = Media(settings.media_url), library.backups
        try:
            with zipfile.ZipFile(file) as archive:
                written = _listing(archive)
                for one in written:
                    _take_media(archive, media, one)
                states = [backups.take_back(one) for one in written]
        except (zipfile.BadZipFile, ValueError, KeyError, TypeError) as error:
            raise click.ClickException(f"{file} is no backup of a library: {error}") from error
    waiting = states.count("waiting")
    click.echo(f"{len(states)} models taken back, {waiting} of them wait for their files.")


def _listing(archive: zipfile.ZipFile) -> list[Written]:
    about = archive.getinfo(LISTING)
    if about.file_size > MOST_LISTING_BYTES:
        raise ValueError("its listing is too large")
    return [Written.from_json(one) for one in json.loads(archive.read(about))["models"]]


def _take_media(archive: zipfile.ZipFile, media: Media, written: Written) -> None:
    """The pictures of a model, under the keys that they had: none but keys of ours are written."""
    for key in _keys(written):
        about = archive.getinfo(key)
        if about.file_size > MOST_IMAGE_BYTES:
            raise ValueError(f"{key} is too large")
        media.put(key, archive.read(about))
