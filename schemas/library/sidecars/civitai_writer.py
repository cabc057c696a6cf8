"""How facts are written in the catalogue's shapes, for programs that know no other. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from schemas.library import content_rating
from schemas.library.formats.hashes import cleaned
from schemas.library.metadata import Facts, SaidFile, SaidVersion
from schemas.library.sidecars.civitai_images import entry_of
from schemas.library.sidecars.json_values import said
from schemas.library.sidecars.local_file import LocalFile


def dump(document: Mapping[str, Any]) -> bytes:
    """A sidecar's bytes: UTF-8, indented as other programs write it, without NaN."""
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False).encode() + b"\n"


def model_answer(facts: Facts, local: LocalFile) -> dict[str, Any]:
    """A model with all its versions that are known, ours with its pictures and our file's hashes."""
    ours = _our_version(facts, local)
    listed = any(one.id == facts.civitai_version_id for one in facts.versions)
    versions = [ours if one.id == facts.civitai_version_id else _version_entry(one) for one in facts.versions]
    return (
        said(id=facts.civitai_id)
        | _model_entry(facts)
        | said(nsfwLevel=facts.nsfw_level, stats=dict(facts.stats), creator=_creator(facts))
        | {"modelVersions": versions if listed or not ours else [ours, *versions]}
    )


def version_answer(facts: Facts, local: LocalFile) -> dict[str, Any]:
    """Our version with its model in it."""
    return (
        _our_version(facts, local)
        | said(modelId=facts.civitai_id, nsfwLevel=facts.nsfw_level, creator=_creator(facts))
        | said(model=_model_entry(facts))
    )


def hashes_of(facts: Facts, local: LocalFile) -> dict[str, str]:
    """What is claimed of our file, and what we know of it, which counts more."""
    return cleaned(facts.hashes) | cleaned(local.hashes)


def _model_entry(facts: Facts) -> dict[str, Any]:
    adult = None if facts.nsfw_level is None else content_rating.highest(facts.nsfw_level) >= content_rating.Level.R
    return said(
        name=facts.name,
        type=facts.type,
        nsfw=adult,
        description=facts.description,
        tags=list(facts.tags),
    ) | dict(facts.licensing)


def _creator(facts: Facts) -> dict[str, Any]:
    return said(username=facts.creator, image=facts.creator_avatar)


def _our_version(facts: Facts, local: LocalFile) -> dict[str, Any]:
    listed = next((one for one in facts.versions if one.id == facts.civitai_version_id), None)
    entry = _version_entry(listed) if listed else {}
    files = entry.pop("files", [])
    return (
        entry
        | said(
            id=facts.civitai_version_id,
            name=facts.version_name,
            baseModel=facts.base_model,
            description=facts.version_description,
            publishedAt=facts.published_at,
            trainedWords=list(facts.trained_words),
            stats=dict(facts.version_stats),
            images=[entry_of(image) for image in facts.images],
        )
        | said(files=_with_ours(files, facts, local))
    )


def _with_ours(files: list[dict[str, Any]], facts: Facts, local: LocalFile) -> list[dict[str, Any]]:
    """A version's files, with what is known of ours: in its entry, if it has one, else in one before the others."""
    hashes = hashes_of(facts, local)
    if not hashes and not local.name:
        return files
    known = next((one for one in files if hashes.items() & cleaned(one.get("hashes", {})).items()), None)
    known = known or next((one for one in files if local.name and one["name"] == local.published_as), None)
    if known:
        known["hashes"] = _upper(cleaned(known.get("hashes", {})) | hashes)
        return files
    size_kb = local.size_bytes / 1024 if local.size_bytes else None
    return [said(name=local.published_as, sizeKB=size_kb, type="Model", primary=True, hashes=_upper(hashes)), *files]


def _version_entry(version: SaidVersion) -> dict[str, Any]:
    return {"id": version.id, "name": version.name} | said(
        baseModel=version.base_model,
        description=version.description,
        publishedAt=version.published_at,
        trainedWords=list(version.trained_words),
        stats=dict(version.stats),
        nsfwLevel=version.nsfw_level or None,
        files=[_file_entry(one) for one in version.files],
    )


def _file_entry(file: SaidFile) -> dict[str, Any]:
    return {"name": file.name, "type": "Model"} | said(
        sizeKB=file.size_kb,
        metadata=said(format=file.format, fp=file.precision),
        hashes=_upper(file.hashes),
    )


def _upper(hashes: Mapping[str, str]) -> dict[str, str]:
    """Hashes as the catalogue spells them."""
    return {name: digits.upper() for name, digits in hashes.items()}
