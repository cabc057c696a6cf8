"""How facts are written in the catalogue's shapes, for programs that know no other. Pure."""

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
    """A sidecar's bytes: UTF-8, indented as other programs write it, without NaN."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def build_model(facts: Metadata, local: LocalFile) -> dict[str, Any]:
    """A model with all its versions that are known, ours with its pictures and our file's hashes."""
    ours = _our_version(facts, local)
    listed = any(one.id == facts.civitai_version_id for one in facts.versions)
    versions = [ours if one.id == facts.civitai_version_id else _version_entry(one) for one in facts.versions]
    return (
        drop_empty(id=facts.civitai_id)
        | _model_entry(facts)
        | drop_empty(nsfwLevel=facts.nsfw_level, stats=dict(facts.stats), creator=_creator(facts))
        | {"modelVersions": versions if listed or not ours else [ours, *versions]}
    )


def build_version(facts: Metadata, local: LocalFile) -> dict[str, Any]:
    """Our version with its model in it."""
    return (
        _our_version(facts, local)
        | drop_empty(modelId=facts.civitai_id, nsfwLevel=facts.nsfw_level, creator=_creator(facts))
        | drop_empty(model=_model_entry(facts))
    )


def merge_hashes(facts: Metadata, local: LocalFile) -> dict[str, str]:
    """What is claimed of our file, and what we know of it, which counts more."""
    return normalize_hashes(facts.hashes) | normalize_hashes(local.hashes)


def _model_entry(facts: Metadata) -> dict[str, Any]:
    adult = (
        None
        if facts.nsfw_level is None
        else content_rating.highest_level(facts.nsfw_level) >= content_rating.NsfwLevel.R
    )
    return drop_empty(
        name=facts.name,
        type=facts.type,
        nsfw=adult,
        description=facts.description,
        tags=list(facts.tags),
    ) | dict(facts.licensing)


def _creator(facts: Metadata) -> dict[str, Any]:
    return drop_empty(username=facts.creator, image=facts.creator_avatar)


def _our_version(facts: Metadata, local: LocalFile) -> dict[str, Any]:
    listed = next((one for one in facts.versions if one.id == facts.civitai_version_id), None)
    entry = _version_entry(listed) if listed else {}
    files = entry.pop("files", [])
    return (
        entry
        | drop_empty(
            id=facts.civitai_version_id,
            name=facts.version_name,
            baseModel=facts.base_model,
            description=facts.version_description,
            publishedAt=facts.published_at,
            trainedWords=list(facts.trained_words),
            stats=dict(facts.version_stats),
            images=[build_image_entry(image) for image in facts.images],
        )
        | drop_empty(files=_with_ours(files, facts, local))
    )


def _with_ours(files: list[dict[str, Any]], facts: Metadata, local: LocalFile) -> list[dict[str, Any]]:
    """A version's files, with what is known of ours: in its entry, if it has one, else in one before the others."""
    hashes = merge_hashes(facts, local)
    if not hashes and not local.name:
        return files
    known = next((one for one in files if hashes.items() & normalize_hashes(one.get("hashes", {})).items()), None)
    known = known or next((one for one in files if local.name and one["name"] == local.civitai_name), None)
    if known:
        known["hashes"] = _upper(normalize_hashes(known.get("hashes", {})) | hashes)
        return files
    size_kb = local.size_bytes / 1024 if local.size_bytes else None
    return [
        drop_empty(name=local.civitai_name, sizeKB=size_kb, type="Model", primary=True, hashes=_upper(hashes)),
        *files,
    ]


def _version_entry(version: CivitaiVersion) -> dict[str, Any]:
    return {"id": version.id, "name": version.name} | drop_empty(
        baseModel=version.base_model,
        description=version.description,
        publishedAt=version.published_at,
        trainedWords=list(version.trained_words),
        stats=dict(version.stats),
        nsfwLevel=version.nsfw_level or None,
        files=[_file_entry(one) for one in version.files],
    )


def _file_entry(file: CivitaiFile) -> dict[str, Any]:
    return {"name": file.name, "type": "Model"} | drop_empty(
        sizeKB=file.size_kb,
        metadata=drop_empty(format=file.format, fp=file.precision),
        hashes=_upper(file.hashes),
    )


def _upper(hashes: Mapping[str, str]) -> dict[str, str]:
    """Hashes as the catalogue spells them."""
    return {name: digits.upper() for name, digits in hashes.items()}
