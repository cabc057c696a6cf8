"""JSON views of the library: models in lists and in detail, versions, files and images."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask import request

from api.http.context import stores
from schemas.fields import to_camel_case
from schemas.images import formats
from schemas.images.generation_params import GenerationParams, Resource
from schemas.library.formats.hashes import autov2_from_sha256
from schemas.library.model_views import FileView, ImageView, ModelView, VersionView, is_video
from schemas.library.sanitize import sanitize_html
from schemas.library.scan_records import FileFormat
from stores.library.index.read_model import ModelFlag

AUTOV3_DIGITS = 12
_PARAM_FIELDS = frozenset(
    {
        *("prompt", "negative_prompt", "seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height"),
        *("clip_skip", "denoise", "model", "workflow"),
    }
)


def model_summary(model: ModelView, *, with_versions: bool = False) -> dict[str, Any]:
    """Return a model as lists have it."""
    metadata = model.metadata
    view = {
        "id": model.id,
        "name": model.name,
        "type": model.type,
        "category": model.category,
        "subcategory": model.subcategory,
        "baseModel": model.base_model,
        "nsfwLevel": model.nsfw_level,
        "creatorName": metadata.creator,
        "creatorAvatar": metadata.creator_avatar,
        "tags": list(metadata.tags),
        "stats": dict(metadata.stats),
        "hasMetadata": bool(model.flags & ModelFlag.METADATA),
        "canRunCode": bool(model.flags & ModelFlag.PICKLE),
        "civitaiId": model.civitai_id,
        "heroImage": _hero(model.hero) if model.hero else None,
    }
    return view | ({"versions": [_version_summary(version) for version in model.versions]} if with_versions else {})


def model_detail(model: ModelView) -> dict[str, Any]:
    """Return a model with all its metadata, versions, files and images."""
    metadata = model.metadata
    first_file = next((file for version in model.versions for file in version.files if file.is_present), None)
    return model_summary(model) | {
        "description": sanitize_html(metadata.description) if metadata.description else None,
        "filePath": visible_path(first_file) if first_file else None,
        "fileSize": first_file.size_bytes if first_file else None,
        "trainedWords": list(metadata.trained_words),
        "negativeWords": metadata.negative_words,
        "preferredWeight": metadata.preferred_weight,
        "licensingInfo": dict(metadata.licensing),
        "notes": metadata.notes,
        "sources": {to_camel_case(name): source for name, source in model.sources.items()},
        "editedAt": {name: _iso_time(time_ms) for name, time_ms in model.edited_at.items()},
        "versions": [_version_detail(version) for version in model.versions],
        "modelLevelImages": [image_view(image) for image in model.images],
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


def _version_summary(version: VersionView) -> dict[str, Any]:
    """Return a version as lists have it."""
    local = next((file for file in version.files if file.is_present), None)
    return {
        "id": version.id,
        "name": version.metadata.version_name or "",
        "baseModel": version.metadata.base_model,
        "isLocal": local is not None,
        "localPath": visible_path(local) if local else None,
        "localFileSize": local.size_bytes if local else None,
        "files": [_file(file) for file in version.files],
    }


def _version_detail(version: VersionView) -> dict[str, Any]:
    metadata = version.metadata
    return _version_summary(version) | {
        "civitaiId": version.civitai_id,
        "epoch": version.epoch,
        "description": sanitize_html(metadata.version_description) if metadata.version_description else None,
        "stats": dict(metadata.version_stats),
        "publishedAt": metadata.published_at,
        "trainedWords": list(metadata.trained_words),
        "images": [image_view(image) for image in version.images],
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
        "isLocal": file.is_present,
        "problem": file.problem,
        "header": dict(file.header),
        "hashState": "done" if file.is_hashed else "pending",
        "hashes": _hashes_view(file.hashes) if file.is_hashed else {},
    }


def _hashes_view(hashes: Mapping[str, str]) -> dict[str, str]:
    """Return hashes in the lengths that Civitai and image metadata use, with AutoV2, which is derived from SHA256."""
    view = dict(hashes)
    if "AutoV3" in view:
        view["AutoV3"] = view["AutoV3"][:AUTOV3_DIGITS]
    return view | ({"AutoV2": autov2_from_sha256(view["SHA256"])} if "SHA256" in view else {})


def _precision(dtype: Any) -> str | None:
    names = {"F16": "fp16", "BF16": "bf16", "F32": "fp32", "F8_E4M3": "fp8", "F8_E5M2": "fp8"}
    return names.get(dtype, dtype) if isinstance(dtype, str) else None


def visible_path(file: FileView) -> str | None:
    """Return the path of a file relative to its root; with EXPOSE_PATHS the absolute path."""
    if file.path is None:
        return None
    path = os.path.join(os.fsencode(file.root), file.path) if stores().settings.expose_paths else file.path  # noqa: PTH118 - bytes
    return path.decode(errors="replace")


def image_url(image: ImageView, *, thumb: bool = False) -> str:
    """Return the URL of an image, below the same prefix as the request: each has its own authentication."""
    prefix = "/api/v1/images" if request.path.startswith(("/api/v1/", "/mcp")) else "/api/images"
    return f"{stores().settings.public_url}{prefix}/{image.id}{'/thumb' if thumb else ''}"


def image_view(image: ImageView) -> dict[str, Any]:
    """Return an image."""
    return {
        "id": image.id,
        "modelId": image.model_id,
        "versionId": image.version_id,
        "localPath": image_url(image),
        "thumbPath": None if is_video(image.path) else image_url(image, thumb=True),
        "mediaType": image.media_type or _media_type(image),
        "width": image.width,
        "height": image.height,
        "nsfwLevel": image.nsfw_level,
        "prompt": image.prompt,
        "generationParams": params_view(image),
        "blurhash": image.blurhash,
        "sortOrder": image.sort_order,
        "isUserUpload": image.is_user_image,
        "createdAt": _iso_time(image.created_at),
        "jobId": image.job_id,
    }


def _media_type(image: ImageView) -> str | None:
    """Return the media type of a file beside a model, by its name."""
    extension = (image.path or b"").rpartition(b".")[2].decode(errors="replace").lower()
    form = next((form for form in formats.DELIVERED if extension in form.extensions), None)
    return form.media_type if form else None


def params_view(image: ImageView) -> dict[str, Any]:
    """Return the generation parameters of an image, under their JSON names."""
    if image.is_user_image:
        return {name: value for name, value in image.params.items() if name != "prompt"}
    # Params of previews are stored under the field names of GenerationParams.
    known = {name: value for name, value in image.params.items() if name in _PARAM_FIELDS}
    resources = tuple(Resource(**resource) for resource in image.params.get("resources", ()))
    view = GenerationParams(tool="", resources=resources, **known).to_json()
    view.pop("prompt", None)
    return view


def _iso_time(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
