"""The catalogue's entry of a picture: its file, its level, and how it was made, in all forms of ``meta``. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.library import content_rating
from schemas.library.metadata import SaidImage
from schemas.library.sidecars.json_values import (
    LARGEST_SEED,
    SidecarError,
    identity,
    line,
    number,
    parse,
    part,
    parts,
    said,
    text,
    url,
    whole,
)

MOST_IMAGES = 500
MOST_RESOURCES = 100
LARGEST_SIDE = 1_000_000
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


def images_of(listed: Any) -> Iterator[SaidImage]:
    """The pictures of a version; films and sounds are left out."""
    for entry in parts(listed, MOST_IMAGES):
        found = image_of(entry)
        if found:
            yield found


def image_of(entry: Mapping[str, Any], file: str | None = None) -> SaidImage | None:
    """One picture, under the name of ``file``, or else the last part of its address; None if it has neither."""
    name = file or file_of(entry.get("url"))
    if not name or name.lower().endswith(NO_PICTURES) or entry.get("type") in ("video", "audio"):
        return None
    more = part(entry.get("metadata"))
    meta = part(entry.get("meta"))
    meta = part(meta["meta"]) if "meta" in meta else meta
    return SaidImage(
        file=name,
        width=_side(entry.get("width")) or _side(more.get("width")),
        height=_side(entry.get("height")) or _side(more.get("height")),
        nsfw_level=level_of(entry),
        blurhash=_blurhash(entry.get("hash")) or _blurhash(more.get("hash")),
        prompt=text(meta.get("prompt")),
        params=_params(meta),
        url=url(entry.get("url")),
    )


def level_of(entry: Mapping[str, Any]) -> int:
    """The level that an entry of any kind has: a mask of bits, or an old word; 0 if it has none."""
    mask = whole(entry.get("nsfwLevel"))
    if mask is not None and 0 < mask <= content_rating.EVERY:
        return mask
    old = [entry.get(name) for name in ("nsfwLevel", "nsfw")]
    return next((content_rating.from_word(word) for word in old if isinstance(word, str)), 0)


def file_of(address: Any) -> str | None:
    """The last part of an address, if a file may be called that."""
    last = re.split(r"[?#]", address, maxsplit=1)[0].rpartition("/")[2] if isinstance(address, str) else ""
    return last if _FILE.fullmatch(last) and line(last) == last else None


def entry_of(image: SaidImage) -> dict[str, Any]:
    """The picture as the catalogue would list it."""
    params = image.params
    size = f"{params['width']}x{params['height']}" if "width" in params and "height" in params else None
    workflow = params.get("workflow")
    meta = said(
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
    return {"url": image.url or image.file, "type": "image", "nsfwLevel": image.nsfw_level} | said(
        width=image.width, height=image.height, hash=image.blurhash, meta=meta
    )


def _params(meta: Mapping[str, Any]) -> dict[str, Any]:
    size = _SIZE.fullmatch(meta["Size"]) if isinstance(meta.get("Size"), str) else None
    return said(
        negative_prompt=text(meta.get("negativePrompt")),
        seed=whole(meta.get("seed"), LARGEST_SEED),
        steps=whole(meta.get("steps")),
        cfg_scale=number(meta.get("cfgScale")),
        sampler=line(meta.get("sampler")),
        scheduler=line(meta.get("scheduler")) or line(meta.get("Schedule type")),
        clip_skip=_first(whole, meta, "clipSkip", "Clip skip"),
        denoise=_first(number, meta, "denoise", "Denoising strength"),
        width=int(size[1]) if size else None,
        height=int(size[2]) if size else None,
        model=line(meta.get("Model")),
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
        for entry in parts(meta.get(name), MOST_RESOURCES):
            found = _resource(entry)
            seen.add(found.get("hash"))
            if len(found) > 1:
                yield found
    for key, value in list(part(meta.get("hashes")).items())[:MOST_RESOURCES]:
        kind, _, called = key.partition(":")
        digits = _digits(value)
        if digits and digits not in seen:
            yield {"kind": KINDS.get(kind.lower(), "other"), "hash": digits} | said(name=line(called))


def _resource(entry: Mapping[str, Any]) -> dict[str, Any]:
    kind, name = (line(entry.get("type")) or "").lower(), line(entry.get("name"))
    version = identity(entry.get("modelVersionId"))
    air = _AIR.fullmatch(line(entry.get("air")) or name or "")
    if air:
        kind, version, name = (
            kind or air[1].lower(),
            version or identity(air[2]),
            None if entry.get("air") is None else name,
        )
    weight = _first(number, entry, "weight", "strength")
    return {"kind": KINDS.get(kind, "other")} | said(
        name=name, hash=_digits(entry.get("hash")), weight=weight, civitai_version_id=version
    )


def _resource_entry(found: Mapping[str, Any]) -> dict[str, Any]:
    kind = "model" if found["kind"] == "checkpoint" else found["kind"]
    return {"type": kind} | said(
        name=found.get("name"),
        hash=found.get("hash"),
        weight=found.get("weight"),
        modelVersionId=found.get("civitai_version_id"),
    )


def _workflow(comfy: Any) -> Mapping[str, Any] | None:
    """The graph of ComfyUI: its document holds one for people and one for the machine, and may be a text itself."""
    if isinstance(comfy, str):
        try:
            comfy = parse(comfy)
        except SidecarError:
            return None
    graphs = part(comfy)
    return part(graphs.get("workflow")) or part(graphs.get("prompt")) or None


def _digits(value: Any) -> str | None:
    found = value.strip().lower() if isinstance(value, str) else ""
    return found if _HASH.fullmatch(found) else None


def _side(value: Any) -> int | None:
    found = whole(value)
    return found if found and 0 < found <= LARGEST_SIDE else None


def _blurhash(value: Any) -> str | None:
    """A blurhash of the length that its first character says."""
    if not isinstance(value, str) or not _BLURHASH.fullmatch(value):
        return None
    return value if len(value) == _blurhash_length(value[0]) else None


def _blurhash_length(first: str) -> int:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~"
    rows, columns = divmod(digits.index(first), 9)
    return 4 + 2 * (rows + 1) * (columns + 1)
