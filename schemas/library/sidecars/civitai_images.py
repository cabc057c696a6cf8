"""Civitai's entry of an image: file, level, and generation parameters in all forms that ``meta`` has had."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.format_error import FormatError
from schemas.library import content_rating
from schemas.library.metadata import ImageMetadata
from schemas.library.sidecars.json_values import (
    MAX_SEED,
    as_id,
    as_integer,
    as_line,
    as_number,
    as_object,
    as_objects,
    as_text,
    as_url,
    drop_empty,
    parse_json,
)

MAX_IMAGES = 500
MAX_RESOURCES = 100
MAX_SIDE_PIXELS = 1_000_000
NON_IMAGE_EXTENSIONS = (".mp4", ".webm", ".mp3", ".wav")
NON_IMAGE_TYPES = ("video", "audio")
RESOURCE_LISTS = ("resources", "civitaiResources", "additionalResources")
# Kinds of ``schemas.images.generation_params.Resource`` by Civitai's type.
RESOURCE_KINDS: Mapping[str, str] = {
    "model": "checkpoint",
    "checkpoint": "checkpoint",
    "lora": "lora",
    "dora": "lora",
    "locon": "lycoris",
    "lycoris": "lycoris",
    "vae": "vae",
    "embed": "embedding",
    "embedding": "embedding",
    "textualinversion": "embedding",
    "hypernet": "hypernetwork",
    "hypernetwork": "hypernetwork",
}
_FILE_NAME = re.compile(r"[^\\/:*?\"<>|\x00-\x1f\x7f.][^\\/:*?\"<>|\x00-\x1f\x7f]{0,199}")
_BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,166}", re.ASCII)
_BLURHASH_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
# Civitai's resource name (AIR).
_AIR = re.compile(r"urn:air:[^:]*:(\w+):civitai:\d+@(\d+).*", re.IGNORECASE)


def parse_images(entries: Any) -> Iterator[ImageMetadata]:
    """Yield the images of a version; videos and sounds are left out."""
    for entry in as_objects(entries, MAX_IMAGES):
        image = parse_image(entry)
        if image:
            yield image


def parse_image(entry: Mapping[str, Any], file: str | None = None) -> ImageMetadata | None:
    """Parse an entry. The image is named ``file``, or else by its URL; None if neither names an image file."""
    name = file or file_name_from_url(entry.get("url"))
    if not name or name.lower().endswith(NON_IMAGE_EXTENSIONS) or entry.get("type") in NON_IMAGE_TYPES:
        return None
    # Older responses have size and blurhash in the entry, newer ones in "metadata"; "meta" may be nested in itself.
    nested = as_object(entry.get("metadata"))
    meta = as_object(entry.get("meta"))
    meta = as_object(meta["meta"]) if "meta" in meta else meta
    return ImageMetadata(
        file=name,
        width=_parse_side(entry.get("width")) or _parse_side(nested.get("width")),
        height=_parse_side(entry.get("height")) or _parse_side(nested.get("height")),
        nsfw_level=parse_level(entry),
        blurhash=_parse_blurhash(entry.get("hash")) or _parse_blurhash(nested.get("hash")),
        prompt=as_text(meta.get("prompt")),
        params=_parse_params(meta),
        url=as_url(entry.get("url")),
    )


def parse_level(entry: Mapping[str, Any]) -> int:
    """Return the NSFW mask of an entry of any kind: a bitmask, or an older name; 0 if it has none."""
    mask = as_integer(entry.get("nsfwLevel"))
    if mask is not None and 0 < mask <= content_rating.ALL_LEVELS:
        return mask
    names = [entry.get(key) for key in ("nsfwLevel", "nsfw")]
    return next((content_rating.level_from_name(name) for name in names if isinstance(name, str)), 0)


def file_name_from_url(url: Any) -> str | None:
    """Return the last part of a URL's path if it is a safe file name."""
    name = re.split(r"[?#]", url, maxsplit=1)[0].rpartition("/")[2] if isinstance(url, str) else ""
    return name if _FILE_NAME.fullmatch(name) and as_line(name) == name else None


def build_image_entry(image: ImageMetadata) -> dict[str, Any]:
    """Return the image as Civitai lists it."""
    params = image.params
    size = f"{params['width']}x{params['height']}" if "width" in params and "height" in params else None
    workflow = params.get("workflow")
    meta = drop_empty(
        prompt=image.prompt,
        negativePrompt=params.get("negative_prompt"),
        seed=params.get("seed"),
        steps=params.get("steps"),
        cfgScale=params.get("cfg_scale"),
        sampler=params.get("sampler"),
        scheduler=params.get("scheduler"),
        clipSkip=params.get("clip_skip"),
        denoise=params.get("denoise"),
        Size=size,
        Model=params.get("model"),
        resources=[_build_resource_entry(resource) for resource in params.get("resources", ())],
        comfy={"workflow": workflow} if workflow else None,
    )
    return {"url": image.url or image.file, "type": "image", "nsfwLevel": image.nsfw_level} | drop_empty(
        width=image.width, height=image.height, hash=image.blurhash, meta=meta
    )


def _parse_params(meta: Mapping[str, Any]) -> dict[str, Any]:
    size = _SIZE.fullmatch(meta["Size"]) if isinstance(meta.get("Size"), str) else None
    return drop_empty(
        negative_prompt=as_text(meta.get("negativePrompt")),
        seed=as_integer(meta.get("seed"), MAX_SEED),
        steps=as_integer(meta.get("steps")),
        cfg_scale=as_number(meta.get("cfgScale")),
        sampler=as_line(meta.get("sampler")),
        scheduler=as_line(meta.get("scheduler")) or as_line(meta.get("Schedule type")),
        clip_skip=_first_valid(as_integer, meta, "clipSkip", "Clip skip"),
        denoise=_first_valid(as_number, meta, "denoise", "Denoising strength"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        model=as_line(meta.get("Model")),
        resources=list(_parse_resources(meta)),
        workflow=_parse_workflow(meta.get("comfy")),
    )


def _first_valid(convert: Any, entry: Mapping[str, Any], *keys: str) -> Any:
    values = (convert(entry.get(key)) for key in keys)
    return next((value for value in values if value is not None), None)


def _parse_resources(meta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the models, under the field names of ``schemas.images.generation_params.Resource``."""
    listed_hashes = set()
    for key in RESOURCE_LISTS:
        for entry in as_objects(meta.get(key), MAX_RESOURCES):
            resource = _parse_resource(entry)
            listed_hashes.add(resource.get("hash"))
            # The kind alone identifies nothing.
            if len(resource) > 1:
                yield resource
    for key, value in list(as_object(meta.get("hashes")).items())[:MAX_RESOURCES]:
        kind, _, name = key.partition(":")
        hash_ = _parse_hash(value)
        if hash_ and hash_ not in listed_hashes:
            yield {"kind": RESOURCE_KINDS.get(kind.lower(), "other"), "hash": hash_} | drop_empty(name=as_line(name))


def _parse_resource(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = (as_line(entry.get("type")) or "").lower(), as_line(entry.get("name"))
    version_id = as_id(entry.get("modelVersionId"))
    air = _AIR.fullmatch(as_line(entry.get("air")) or name or "")
    if air:
        kind = kind or air[1].lower()
        version_id = version_id or as_id(air[2])
        # Some entries have the AIR in place of the name.
        name = None if entry.get("air") is None else name
    weight = _first_valid(as_number, entry, "weight", "strength")
    return {"kind": RESOURCE_KINDS.get(kind, "other")} | drop_empty(
        name=name, hash=_parse_hash(entry.get("hash")), weight=weight, civitai_version_id=version_id
    )


def _build_resource_entry(resource: Mapping[str, Any]) -> dict[str, Any]:
    kind = "model" if resource["kind"] == "checkpoint" else resource["kind"]
    return {"type": kind} | drop_empty(
        name=resource.get("name"),
        hash=resource.get("hash"),
        weight=resource.get("weight"),
        modelVersionId=resource.get("civitai_version_id"),
    )


def _parse_workflow(comfy: Any) -> Mapping[str, Any] | None:
    """Return the ComfyUI graph: the editor form, or else the API form; the value may be JSON in a string."""
    if isinstance(comfy, str):
        try:
            comfy = parse_json(comfy)
        except FormatError:
            return None
    graphs = as_object(comfy)
    return as_object(graphs.get("workflow")) or as_object(graphs.get("prompt")) or None


def _parse_hash(value: Any) -> str | None:
    digits = value.strip().lower() if isinstance(value, str) else ""
    return digits if _HASH.fullmatch(digits) else None


def _parse_side(value: Any) -> int | None:
    pixels = as_integer(value)
    return pixels if pixels and 0 < pixels <= MAX_SIDE_PIXELS else None


def _parse_blurhash(value: Any) -> str | None:
    """Return a blurhash whose length is the one that its first character encodes; decoders fail on others."""
    if not isinstance(value, str) or not _BLURHASH.fullmatch(value):
        return None
    rows, columns = divmod(_BLURHASH_DIGITS.index(value[0]), 9)
    return value if len(value) == 4 + 2 * (rows + 1) * (columns + 1) else None
