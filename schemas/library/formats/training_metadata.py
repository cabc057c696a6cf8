"""What a header's metadata says of a model: what it was trained on, for and with. Pure.

Sources: kohya-ss/sd-scripts (``ss_``, ``sshs_``), additional networks (``ssmd_``)
and Stability AI's ModelSpec (``modelspec.``). Everything here is somebody else's text: kept as text, and bounded.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.library.sanitize import clean_line, clean_multiline

MAX_LINE_CHARS = 1000
MAX_TEXT_CHARS = 20_000
MAX_TRIGGER_WORDS = 100
MAX_TAGS = 30
NOTHING = ("", "None")
CLAIMED_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})", re.ASCII)
# What repackers write who hashed nothing: the beginning of the SHA-256 of no bytes at all.
OF_NOTHING = "e3b0c44298fc"
# How an architecture begins, in ModelSpec's words and in the trainers', and what people call that family.
FAMILIES: tuple[tuple[str, str], ...] = (
    ("stable-diffusion-xl", "SDXL 1.0"),
    ("sdxl", "SDXL 1.0"),
    ("stable-diffusion-v1", "SD 1.5"),
    ("sd_v1", "SD 1.5"),
    ("stable-diffusion-v2", "SD 2.1"),
    ("sd_v2", "SD 2.1"),
    ("stable-diffusion-3", "SD 3"),
    ("sd3", "SD 3"),
    ("flux-1-schnell", "Flux.1 S"),
    ("flux", "Flux.1 D"),
    ("chroma", "Chroma"),
    ("lumina", "Lumina"),
    ("hunyuan", "Hunyuan"),
    ("wan", "Wan Video"),
    ("qwen", "Qwen"),
)


@dataclass(frozen=True, slots=True)
class TrainingMetadata:
    """What a header says; None and empty where it says nothing. ``hashes`` are claims, by their names."""

    title: str | None = None
    author: str | None = None
    description: str | None = None
    base_model: str | None = None
    architecture: str | None = None
    module: str | None = None
    dim: int | None = None
    alpha: float | None = None
    resolution: str | None = None
    trigger_words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    hashes: Mapping[str, str] | None = None


def parse_training_metadata(metadata: Mapping[str, str]) -> TrainingMetadata:
    """What the metadata says; a field that is nonsense is left out, and never costs another one."""
    said = {name: value for name, value in metadata.items() if value not in NOTHING}
    architecture = _words(said, "modelspec.architecture", "ss_base_model_version")
    return TrainingMetadata(
        title=_words(said, "modelspec.title", "ssmd_display_name", "ss_output_name"),
        author=_words(said, "modelspec.author", "ssmd_author"),
        description=_text(said, "modelspec.description", "ssmd_description", "ss_training_comment"),
        base_model=_family(architecture),
        architecture=architecture,
        module=_words(said, "ss_network_module"),
        dim=_whole(said.get("ss_network_dim")),
        alpha=_number(said.get("ss_network_alpha")),
        resolution=_words(said, "modelspec.resolution", "ss_resolution"),
        trigger_words=tuple(_trigger_words(said)),
        tags=tuple(_tags(said)),
        hashes=dict(_hashes(said)),
    )


def count_tags(metadata: Mapping[str, str]) -> Counter[str]:
    """How often each tag stood beside a picture of the training, over all folders of it."""
    counts: Counter[str] = Counter()
    for folder in _json(metadata.get("ss_tag_frequency"), dict).values():
        for name, count in folder.items() if isinstance(folder, dict) else ():
            tag = clean_line(name, MAX_LINE_CHARS)
            if type(count) is int and 0 < count < 2**53 and tag:
                counts[tag] += count
    return counts


def _trigger_words(said: Mapping[str, str]) -> Iterator[str]:
    """Those that the author names, else those that the trainer was told, else what stood beside most pictures."""
    if phrase := _words(said, "modelspec.trigger_phrase", "ssmd_keywords"):
        yield phrase
        return
    classes = dict.fromkeys(_class_tokens(said))
    if classes:
        yield from list(classes)[:MAX_TRIGGER_WORDS]
        return
    yield from (tag for tag, _ in count_tags(said).most_common(3))


def _class_tokens(said: Mapping[str, str]) -> Iterator[str]:
    for dataset in _json(said.get("ss_datasets"), list):
        for subset in dataset.get("subsets") or () if isinstance(dataset, dict) else ():
            tokens = subset.get("class_tokens") if isinstance(subset, dict) else None
            if isinstance(tokens, str) and (found := clean_line(tokens, MAX_LINE_CHARS)):
                yield found


def _tags(said: Mapping[str, str]) -> list[str]:
    named = (said.get("modelspec.tags") or said.get("ssmd_tags") or "").split(",")
    tags = dict.fromkeys(clean_line(tag, MAX_LINE_CHARS) for tag in named)
    return [tag for tag in tags if tag][:MAX_TAGS]


def _hashes(said: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the file claims of its own bytes: only what looks like a hash, and not that of nothing."""
    names = {"sshs_model_hash": "AutoV3", "sshs_legacy_hash": "AutoV1", "modelspec.hash_sha256": "tensors"}
    for name, known in names.items():
        found = CLAIMED_HASH.fullmatch(said.get(name, "").strip())
        if found and not found[1].lower().startswith(OF_NOTHING):
            yield known, found[1].lower()


def _family(architecture: str | None) -> str | None:
    plain = (architecture or "").lower()
    return next((family for start, family in FAMILIES if plain.startswith(start)), None)


def _words(said: Mapping[str, str], *names: str) -> str | None:
    """The first of these that says something, in one line."""
    found = (clean_line(said.get(name, ""), MAX_LINE_CHARS) for name in names)
    return next(filter(None, found), None)


def _text(said: Mapping[str, str], *names: str) -> str | None:
    found = (clean_multiline(said.get(name, "")[:MAX_TEXT_CHARS]) for name in names)
    return next(filter(None, found), None)


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return int(number) if number is not None and number.is_integer() else None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def _json(text: str | None, kind: type[Any]) -> Any:
    """What a text in a text says, or an empty one of its kind."""
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        return kind()
    return found if isinstance(found, kind) else kind()
