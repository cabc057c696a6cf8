"""Writes metadata in the shapes of Civitai's responses, for programs that read no other."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import normalize_hashes
from schemas.library.metadata import CivitaiFile, CivitaiVersion, Metadata
from schemas.library.sidecars.civitai_images import build_image_entry
from schemas.library.sidecars.json_values import drop_empty
from schemas.library.sidecars.local_file import LocalFile


def encode_sidecar(document: Mapping[str, Any]) -> bytes:
    """Encode a sidecar: UTF-8, indented as other programs write it, without NaN."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def build_model(metadata: Metadata, local: LocalFile) -> dict[str, Any]:
    """Return a model with all known versions; the local file's version has its images and hashes."""
    local_version = _build_local_version(metadata, local)
    version_ids = [version.id for version in metadata.versions]
    versions = [
        local_version if version.id == metadata.civitai_version_id else _build_version_entry(version)
        for version in metadata.versions
    ]
    if local_version and metadata.civitai_version_id not in version_ids:
        versions.insert(0, local_version)
    return (
        drop_empty(id=metadata.civitai_id)
        | _build_model_entry(metadata)
        | drop_empty(nsfwLevel=metadata.nsfw_level, stats=dict(metadata.stats), creator=_build_creator(metadata))
        | {"modelVersions": versions}
    )


def build_version(metadata: Metadata, local: LocalFile) -> dict[str, Any]:
    """Return the local file's version with its model."""
    return (
        _build_local_version(metadata, local)
        | drop_empty(modelId=metadata.civitai_id, nsfwLevel=metadata.nsfw_level, creator=_build_creator(metadata))
        | drop_empty(model=_build_model_entry(metadata))
    )


def merge_hashes(metadata: Metadata, local: LocalFile) -> dict[str, str]:
    """Return the claimed hashes of the local file, overridden by the computed ones."""
    return normalize_hashes(metadata.hashes) | normalize_hashes(local.hashes)


def _build_model_entry(metadata: Metadata) -> dict[str, Any]:
    level = metadata.nsfw_level
    nsfw = None if level is None else content_rating.highest_level(level) >= content_rating.NsfwLevel.R
    return drop_empty(
        name=metadata.name,
        type=metadata.type,
        nsfw=nsfw,
        description=metadata.description,
        tags=list(metadata.tags),
    ) | dict(metadata.licensing)


def _build_creator(metadata: Metadata) -> dict[str, Any]:
    return drop_empty(username=metadata.creator, image=metadata.creator_avatar)


def _build_local_version(metadata: Metadata, local: LocalFile) -> dict[str, Any]:
    listed = next((version for version in metadata.versions if version.id == metadata.civitai_version_id), None)
    entry = _build_version_entry(listed) if listed else {}
    files = entry.pop("files", [])
    return (
        entry
        | drop_empty(
            id=metadata.civitai_version_id,
            name=metadata.version_name,
            baseModel=metadata.base_model,
            description=metadata.version_description,
            publishedAt=metadata.published_at,
            trainedWords=list(metadata.trained_words),
            stats=dict(metadata.version_stats),
            images=[build_image_entry(image) for image in metadata.images],
        )
        | drop_empty(files=_add_local_file(files, metadata, local))
    )


def _add_local_file(files: list[dict[str, Any]], metadata: Metadata, local: LocalFile) -> list[dict[str, Any]]:
    """Put the local file's hashes into its entry, found by hash or name, or else into a new first entry."""
    hashes = merge_hashes(metadata, local)
    if not hashes and not local.name:
        return files
    same = next((file for file in files if hashes.items() & normalize_hashes(file.get("hashes", {})).items()), None)
    same = same or next((file for file in files if local.name and file["name"] == local.civitai_name), None)
    if same:
        same["hashes"] = _upper(normalize_hashes(same.get("hashes", {})) | hashes)
        return files
    size_kb = local.size_bytes / 1024 if local.size_bytes else None
    entry = drop_empty(name=local.civitai_name, sizeKB=size_kb, type="Model", primary=True, hashes=_upper(hashes))
    return [entry, *files]


def _build_version_entry(version: CivitaiVersion) -> dict[str, Any]:
    return {"id": version.id, "name": version.name} | drop_empty(
        baseModel=version.base_model,
        description=version.description,
        publishedAt=version.published_at,
        trainedWords=list(version.trained_words),
        stats=dict(version.stats),
        nsfwLevel=version.nsfw_level or None,
        files=[_build_file_entry(file) for file in version.files],
    )


def _build_file_entry(file: CivitaiFile) -> dict[str, Any]:
    return {"name": file.name, "type": "Model"} | drop_empty(
        sizeKB=file.size_kb,
        metadata=drop_empty(format=file.format, fp=file.precision),
        hashes=_upper(file.hashes),
    )


def _upper(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return hashes as Civitai spells them."""
    return {name: digits.upper() for name, digits in hashes.items()}
