"""Reads what trainers write into a safetensors header: base model, network, trigger words, tags, hashes.

Sources: kohya-ss/sd-scripts (``ss_``, ``sshs_``), Additional Networks (``ssmd_``) and Stability AI's ModelSpec
(``modelspec.``). All values are untrusted text, and bounded.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from schemas.format_error import FormatError
from schemas.library.formats.base_models import name_base_model
from schemas.library.formats.hashes import AUTOV1, AUTOV3, is_hash_of_nothing
from schemas.library.formats.tensor_names import CONTROLNET, EMBEDDING, LORA, VAE
from schemas.library.sanitize import clean_line, clean_multiline
from schemas.untrusted_json import JsonReader

MAX_LINE_CHARS = 1000
MAX_TEXT_CHARS = 20_000
MAX_TRIGGER_WORDS = 100
MAX_TAGS = 30
EMPTY_VALUES = ("", "None")
JSON_READER = JsonReader()
CLAIMED_HASH = re.compile(r"(?:0x)?([0-9a-fA-F]{8,64})", re.ASCII)
# ModelSpec's hash covers the tensors only, so it is not a SHA-256 of the file.
TENSORS_HASH = "tensors"
HASH_KEYS = {"sshs_model_hash": AUTOV3, "sshs_legacy_hash": AUTOV1, "modelspec.hash_sha256": TENSORS_HASH}

# Civitai's types, by ModelSpec's adapters, which follow the base model after a slash.
TYPES_BY_ADAPTER: Mapping[str, str] = {
    **dict.fromkeys(("lora", "lycoris", "locon", "loha", "lokr", "dora", "oft"), LORA),
    **dict.fromkeys(("control-net", "controlnet", "control-net-lllite"), CONTROLNET),
    **dict.fromkeys(("textual-inversion", "embedding"), EMBEDDING),
    "vae": VAE,
}
# Diffusers writes the configuration of PEFT's adapters under this key.
PEFT_KEY = "lora_adapter_metadata"


@dataclass(frozen=True, slots=True)
class TrainingMetadata:
    """The metadata of a header; None and empty for missing fields.

    ``type`` is Civitai's; ``hashes`` are claims, by algorithm.
    """

    title: str | None = None
    author: str | None = None
    description: str | None = None
    type: str | None = None
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
    """Parse a header's metadata; an invalid field is left out and costs no other."""
    values = {name: value for name, value in metadata.items() if value not in EMPTY_VALUES}
    architecture = _first_line(values, "modelspec.architecture", "ss_base_model_version")
    return TrainingMetadata(
        title=_first_line(values, "modelspec.title", "ssmd_display_name", "ss_output_name"),
        author=_first_line(values, "modelspec.author", "ssmd_author"),
        description=_first_text(values, "modelspec.description", "ssmd_description", "ss_training_comment"),
        type=_find_type(values),
        base_model=name_base_model(architecture, _first_line(values, "ss_sd_model_name", "ss_base_model")),
        architecture=architecture,
        module=_first_line(values, "ss_network_module"),
        dim=_parse_integer(values.get("ss_network_dim")),
        alpha=_parse_number(values.get("ss_network_alpha")),
        resolution=_first_line(values, "modelspec.resolution", "ss_resolution"),
        trigger_words=tuple(_trigger_words(values)),
        tags=tuple(_tags(values)),
        hashes=dict(_claimed_hashes(values)),
    )


def _find_type(values: Mapping[str, str]) -> str | None:
    """Return the type that ModelSpec's adapter names, or else that of the network that kohya's trainers name."""
    adapter = values.get("modelspec.architecture", "")[:MAX_LINE_CHARS].partition("/")[2].strip().lower()
    if type_ := TYPES_BY_ADAPTER.get(adapter):
        return type_
    module = values.get("ss_network_module", "")[:MAX_LINE_CHARS].lower()
    if "control_net" in module or "controlnet" in module:
        return CONTROLNET
    return LORA if module or PEFT_KEY in values else None


def _trigger_words(values: Mapping[str, str]) -> Iterator[str]:
    """Yield the author's trigger phrase, or else the trainer's class tokens.

    Frequent tags do not count: those that caption most images ("1girl", "solo") are the commonest of every training.
    """
    if phrase := _first_line(values, "modelspec.trigger_phrase", "ssmd_keywords"):
        yield phrase
        return
    class_tokens = dict.fromkeys(_class_tokens(values))
    yield from list(class_tokens)[:MAX_TRIGGER_WORDS]


def _class_tokens(values: Mapping[str, str]) -> Iterator[str]:
    for dataset in _parse_json(values.get("ss_datasets"), list):
        for subset in dataset.get("subsets") or () if isinstance(dataset, dict) else ():
            tokens = subset.get("class_tokens") if isinstance(subset, dict) else None
            if isinstance(tokens, str) and (line := clean_line(tokens, MAX_LINE_CHARS)):
                yield line


def _tags(values: Mapping[str, str]) -> list[str]:
    listed = (values.get("modelspec.tags") or values.get("ssmd_tags") or "").split(",")
    tags = dict.fromkeys(clean_line(tag, MAX_LINE_CHARS) for tag in listed)
    return [tag for tag in tags if tag][:MAX_TAGS]


def _claimed_hashes(values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, algorithm in HASH_KEYS.items():
        match = CLAIMED_HASH.fullmatch(values.get(name, "").strip())
        if match and not is_hash_of_nothing(match[1].lower()):
            yield algorithm, match[1].lower()


def _first_line(values: Mapping[str, str], *names: str) -> str | None:
    """Return the first of these values that is not blank, as one line."""
    lines = (clean_line(values.get(name, ""), MAX_LINE_CHARS) for name in names)
    return next(filter(None, lines), None)


def _first_text(values: Mapping[str, str], *names: str) -> str | None:
    texts = (clean_multiline(values.get(name, "")[:MAX_TEXT_CHARS]) for name in names)
    return next(filter(None, texts), None)


def _parse_integer(text: str | None) -> int | None:
    number = _parse_number(text)
    return int(number) if number is not None and number.is_integer() else None


def _parse_number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if abs(number) < 1e9 else None


def _parse_json(text: str | None, kind: type[Any]) -> Any:
    """Parse a value that is JSON of type ``kind``; empty if it is not."""
    try:
        value = JSON_READER.parse(text or "")
    except FormatError:
        return kind()
    return value if isinstance(value, kind) else kind()
