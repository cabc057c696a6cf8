"""How the library looks on the wire: models in lists, models whole, versions, files and pictures."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import request

from api.http.context import stores
from schemas.fields import to_camel_case
from schemas.images.generation_params import GenerationParams, Resource
from schemas.library.formats.hashes import autov2_from_sha256
from schemas.library.model_views import FileView, ImageView, ModelView, VersionView
from schemas.library.sanitize import sanitize_html
from schemas.library.scan_records import FileFormat
from stores.library.index.read_model import ModelFlag

AUTOV3_DIGITS = 12
_OF_GENERATION = frozenset(
    {
        *("prompt", "negative_prompt", "seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height"),
        *("clip_skip", "denoise", "model", "workflow"),
    }
)


def model_summary(model: ModelView, *, with_versions: bool = False) -> dict[str, Any]:
    """A model in a list."""
    facts = model.facts
    shown = {
        "id": model.id,
        "name": model.name,
        "type": model.type,
        "category": model.category,
        "subcategory": model.subcategory,
        "baseModel": model.base_model,
        "nsfwLevel": model.nsfw_level,
        "creatorName": facts.creator,
        "creatorAvatar": facts.creator_avatar,
        "tags": list(facts.tags),
        "stats": dict(facts.stats),
        "hasMetadata": bool(model.flags & ModelFlag.METADATA),
        "canRunCode": bool(model.flags & ModelFlag.PICKLE),
        "civitaiId": model.civitai_id,
        "heroImage": _hero(model.hero) if model.hero else None,
    }
    return shown | ({"versions": [_brief(one) for one in model.versions]} if with_versions else {})


def model_detail(model: ModelView) -> dict[str, Any]:
    """A model with all that is known of it."""
    facts = model.facts
    first = next((file for version in model.versions for file in version.files if file.present), None)
    return model_summary(model) | {
        "description": sanitize_html(facts.description) if facts.description else None,
        "filePath": visible_path(first) if first else None,
        "fileSize": first.size_bytes if first else None,
        "trainedWords": list(facts.trained_words),
        "negativeWords": facts.negative_words,
        "preferredWeight": facts.preferred_weight,
        "licensingInfo": dict(facts.licensing),
        "notes": facts.notes,
        "sources": {to_camel_case(name): source for name, source in model.sources.items()},
        "editedAt": {name: _time(at) for name, at in model.edited.items()},
        "versions": [_version(one) for one in model.versions],
        "modelLevelImages": [image_view(one) for one in model.images],
    }


def _hero(image: ImageView) -> dict[str, Any]:
    return {
        "id": image.id,
        "thumbPath": image_url(image, thumb=True),
        "width": image.width,
        "height": image.height,
        "nsfwLevel": image.nsfw_level,
        "blurhash": image.blurhash,
    }


def _brief(version: VersionView) -> dict[str, Any]:
    """A version in a list."""
    here = next((file for file in version.files if file.present), None)
    return {
        "id": version.id,
        "name": version.facts.version_name or "",
        "baseModel": version.facts.base_model,
        "isLocal": here is not None,
        "localPath": visible_path(here) if here else None,
        "localFileSize": here.size_bytes if here else None,
        "files": [_file(file) for file in version.files],
    }


def _version(version: VersionView) -> dict[str, Any]:
    facts = version.facts
    return _brief(version) | {
        "civitaiId": version.civitai_id,
        "epoch": version.epoch,
        "description": sanitize_html(facts.version_description) if facts.version_description else None,
        "stats": dict(facts.version_stats),
        "publishedAt": facts.published_at,
        "trainedWords": list(facts.trained_words),
        "images": [image_view(one) for one in version.images],
    }


def _file(file: FileView) -> dict[str, Any]:
    return {
        "id": file.id,
        "fileName": file.name,
        "path": visible_path(file),
        "sizeKb": round(file.size_bytes / 1024, 3),
        "format": file.header.get("format", "SafeTensor" if file.kind == FileFormat.SAFETENSORS else "Other"),
        "precision": _precision(file.header.get("dtype")),
        "canRunCode": file.kind == FileFormat.PICKLE,
        "isLocal": file.present,
        "problem": file.problem,
        "header": dict(file.header),
        "hashState": "done" if file.hashed else "pending",
        "hashes": hashes_view(file.hashes) if file.hashed else {},
    }


def hashes_view(kept: Mapping[str, str]) -> dict[str, str]:
    """Hashes as catalogues and pictures write them."""
    found = dict(kept)
    if "AutoV3" in found:
        found["AutoV3"] = found["AutoV3"][:AUTOV3_DIGITS]
    return found | ({"AutoV2": autov2_from_sha256(found["SHA256"])} if "SHA256" in found else {})


def _precision(dtype: Any) -> str | None:
    known = {"F16": "fp16", "BF16": "bf16", "F32": "fp32", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
    return known.get(dtype, dtype) if isinstance(dtype, str) else None


def visible_path(file: FileView) -> str | None:
    """Where a file is: below its folder, or on the disk where EXPOSE_PATHS allows it."""
    if file.path is None:
        return None
    path = os.path.join(os.fsencode(file.root), file.path) if stores().settings.expose_paths else file.path  # noqa: PTH118 - bytes
    return path.decode(errors="replace")


def image_url(image: ImageView, *, thumb: bool = False) -> str:
    """Where a picture is fetched, by the way that the client came."""
    prefix = "/api/v1/images" if request.path.startswith("/api/v1/") else "/api/images"
    return f"{stores().settings.public_url}{prefix}/{image.id}{'/thumb' if thumb else ''}"


def image_view(image: ImageView) -> dict[str, Any]:
    """A picture."""
    return {
        "id": image.id,
        "modelId": image.model_id,
        "versionId": image.version_id,
        "localPath": image_url(image),
        "thumbPath": image_url(image, thumb=True),
        "width": image.width,
        "height": image.height,
        "nsfwLevel": image.nsfw_level,
        "prompt": image.prompt,
        "generationParams": params_view(image),
        "blurhash": image.blurhash,
        "sortOrder": image.sort_order,
        "isUserUpload": image.given,
        "createdAt": _time(image.created_at),
        "jobId": image.job_id,
    }


def params_view(image: ImageView) -> dict[str, Any]:
    """How a picture was made, under the names of the wire."""
    if image.given:
        return {name: value for name, value in image.params.items() if name != "prompt"}
    said = {name: value for name, value in image.params.items() if name in _OF_GENERATION}
    resources = tuple(Resource(**one) for one in image.params.get("resources", ()))
    shown = GenerationParams(tool="", resources=resources, **said).to_json()
    shown.pop("prompt", None)
    return shown


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
