"""The catalogue's entry of a picture: its file, its level, and how it was made, in all forms of ``meta``. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.library import content_rating
from schemas.library.metadata import ImageMetadata
from schemas.library.sidecars.json_values import (
    MAX_SEED,
    SidecarError,
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
NO_PICTURES = (".mp4", ".webm", ".mp3", ".wav")
RESOURCE_LISTS = ("resources", "civitaiResources", "additionalResources")
# How a resource's kind is called, here and there.
KINDS: Mapping[str, str] = {
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
_FILE = re.compile(r"[^\\/:*?\"<>|\x00-\x1f\x7f.][^\\/:*?\"<>|\x00-\x1f\x7f]{0,199}")
_BLURHASH = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,166}", re.ASCII)
_SIZE = re.compile(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{8,64}", re.ASCII)
_AIR = re.compile(r"urn:air:[^:]*:(\w+):civitai:\d+@(\d+).*", re.IGNORECASE)


def parse_images(listed: Any) -> Iterator[ImageMetadata]:
    """The pictures of a version; films and sounds are left out."""
    for entry in as_objects(listed, MAX_IMAGES):
        found = parse_image(entry)
        if found:
            yield found


def parse_image(entry: Mapping[str, Any], file: str | None = None) -> ImageMetadata | None:
    """One picture, under the name of ``file``, or else the last part of its address; None if it has neither."""
    name = file or file_name_from_url(entry.get("url"))
    if not name or name.lower().endswith(NO_PICTURES) or entry.get("type") in ("video", "audio"):
        return None
    more = as_object(entry.get("metadata"))
    meta = as_object(entry.get("meta"))
    meta = as_object(meta["meta"]) if "meta" in meta else meta
    return ImageMetadata(
        file=name,
        width=_side(entry.get("width")) or _side(more.get("width")),
        height=_side(entry.get("height")) or _side(more.get("height")),
        nsfw_level=parse_level(entry),
        blurhash=_blurhash(entry.get("hash")) or _blurhash(more.get("hash")),
        prompt=as_text(meta.get("prompt")),
        params=_params(meta),
        url=as_url(entry.get("url")),
    )


def parse_level(entry: Mapping[str, Any]) -> int:
    """The level that an entry of any kind has: a mask of bits, or an old word; 0 if it has none."""
    mask = as_integer(entry.get("nsfwLevel"))
    if mask is not None and 0 < mask <= content_rating.ALL_LEVELS:
        return mask
    old = [entry.get(name) for name in ("nsfwLevel", "nsfw")]
    return next((content_rating.level_from_name(word) for word in old if isinstance(word, str)), 0)


def file_name_from_url(address: Any) -> str | None:
    """The last part of an address, if a file may be called that."""
    last = re.split(r"[?#]", address, maxsplit=1)[0].rpartition("/")[2] if isinstance(address, str) else ""
    return last if _FILE.fullmatch(last) and as_line(last) == last else None


def build_image_entry(image: ImageMetadata) -> dict[str, Any]:
    """The picture as the catalogue would list it."""
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
        resources=[_resource_entry(one) for one in params.get("resources", ())],
        comfy={"workflow": workflow} if workflow else None,
    )
    return {"url": image.url or image.file, "type": "image", "nsfwLevel": image.nsfw_level} | drop_empty(
        width=image.width, height=image.height, hash=image.blurhash, meta=meta
    )


def _params(meta: Mapping[str, Any]) -> dict[str, Any]:
    size = _SIZE.fullmatch(meta["Size"]) if isinstance(meta.get("Size"), str) else None
    return drop_empty(
        negative_prompt=as_text(meta.get("negativePrompt")),
        seed=as_integer(meta.get("seed"), MAX_SEED),
        steps=as_integer(meta.get("steps")),
        cfg_scale=as_number(meta.get("cfgScale")),
        sampler=as_line(meta.get("sampler")),
        scheduler=as_line(meta.get("scheduler")) or as_line(meta.get("Schedule type")),
        clip_skip=_first(as_integer, meta, "clipSkip", "Clip skip"),
        denoise=_first(as_number, meta, "denoise", "Denoising strength"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        model=as_line(meta.get("Model")),
        resources=list(_resources(meta)),
        workflow=_workflow(meta.get("comfy")),
    )


def _first(read: Any, meta: Mapping[str, Any], *names: str) -> Any:
    values = (read(meta.get(name)) for name in names)
    return next((value for value in values if value is not None), None)


def _resources(meta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The models that a picture was made with, in the words of ``schemas.images.generation_params.Resource``."""
    seen = set()
    for name in RESOURCE_LISTS:
        for entry in as_objects(meta.get(name), MAX_RESOURCES):
            found = _resource(entry)
            seen.add(found.get("hash"))
            if len(found) > 1:
                yield found
    for key, value in list(as_object(meta.get("hashes")).items())[:MAX_RESOURCES]:
        kind, _, called = key.partition(":")
        digits = _digits(value)
        if digits and digits not in seen:
            yield {"kind": KINDS.get(kind.lower(), "other"), "hash": digits} | drop_empty(name=as_line(called))


def _resource(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = (as_line(entry.get("type")) or "").lower(), as_line(entry.get("name"))
    version = as_id(entry.get("modelVersionId"))
    air = _AIR.fullmatch(as_line(entry.get("air")) or name or "")
    if air:
        kind, version, name = (
            kind or air[1].lower(),
            version or as_id(air[2]),
            None if entry.get("air") is None else name,
        )
    weight = _first(as_number, entry, "weight", "strength")
    return {"kind": KINDS.get(kind, "other")} | drop_empty(
        name=name, hash=_digits(entry.get("hash")), weight=weight, civitai_version_id=version
    )


def _resource_entry(found: Mapping[str, Any]) -> dict[str, Any]:
    kind = "model" if found["kind"] == "checkpoint" else found["kind"]
    return {"type": kind} | drop_empty(
        name=found.get("name"),
        hash=found.get("hash"),
        weight=found.get("weight"),
        modelVersionId=found.get("civitai_version_id"),
    )


def _workflow(comfy: Any) -> Mapping[str, Any] | None:
    """The graph of ComfyUI: its document holds one for people and one for the machine, and may be a text itself."""
    if isinstance(comfy, str):
        try:
            comfy = parse_json(comfy)
        except SidecarError:
            return None
    graphs = as_object(comfy)
    return as_object(graphs.get("workflow")) or as_object(graphs.get("prompt")) or None


def _digits(value: Any) -> str | None:
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if _HASH.fullmatch(found) else None


def _side(value: Any) -> int | None:
    found = as_integer(value)
    return found if found and 0 < found <= MAX_SIDE_PIXELS else None


def _blurhash(value: Any) -> str | None:
    """A blurhash of the length that its first character says."""
    if not isinstance(value, str) or not _BLURHASH.fullmatch(value):
        return None
    return value if len(value) == _blurhash_length(value[0]) else None


def _blurhash_length(first: str) -> int:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
    rows, columns = divmod(digits.index(first), 9)
    return 4 + 2 * (rows + 1) * (columns + 1)
