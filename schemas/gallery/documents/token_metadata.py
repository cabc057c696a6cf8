"""The metadata document of a token: the JSON that its ``token_uri`` names.

It follows the "ERC-1155 Metadata URI JSON Schema" (``name``, ``description``, ``image``, ``decimals``, ``properties``)
and ERC-8495, which adds ``attributes``, ``external_url`` and ``animation_url``. A value of an attribute is a text or a
number that every reader represents exactly; a numeric display type has a number; a date is in Unix seconds.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from schemas.gallery.provenance import used_models
from schemas.gallery.tokens import Token

NUMERIC_DISPLAY_TYPES = ("number", "boost_number", "boost_percentage", "date")
MAX_EXACT_INTEGER = 2**53 - 1
# Dates beyond the year 5138 in seconds are milliseconds.
MAX_DATE_S = 100_000_000_000
# A shorter part of a prompt, such as the name of a style, reveals nothing about the rest.
MIN_LEAK_CHARS = 16
_PROMPT_TRAITS = ("prompt", "negative prompt", "negativeprompt", "positive prompt")


@dataclass(frozen=True, slots=True)
class MetadataUrls:
    """The URLs in a document; ``image`` is a still or moving picture, ``animation`` the original that moves, if any."""

    page: str
    image: str
    animation: str | None = None


def build_metadata(token: Token, urls: MetadataUrls) -> dict[str, Any]:
    """Return the document of a token; it has no trace of a private prompt, in whatever field that stands."""
    record = token.provenance or {}
    shown = without_private_prompt(token)
    attributes = [*shown.attributes, *_made_with(record, is_private=token.is_prompt_private)]
    properties: dict[str, Any] = {
        "token_id": token.token_id,
        "creator": token.creator,
        "collection": {"name": token.collection.name, "slug": token.collection.slug},
    }
    if token.media.sha256:
        properties |= {"sha256": token.media.sha256, "type": token.media.type}
    if record.get("prompt") and not token.is_prompt_private:
        properties["prompt"] = record["prompt"]
    document = {
        "name": _public_name(shown, ()),
        "description": shown.description,
        "image": urls.image,
        "external_url": urls.page,
        "decimals": 0,
        "attributes": list(_valid_attributes(attributes)),
        "properties": properties,
    }
    return document | ({"animation_url": urls.animation} if urls.animation else {})


def without_private_prompt(token: Token) -> Token:
    """Return the token as others see it: of a private prompt there is no trace in name, description and attributes."""
    if not token.is_prompt_private:
        return token
    secrets = _private_texts(token.provenance or {})
    attributes = tuple(each for each in token.attributes if not _tells(each, secrets))
    description = _censor(token.description, secrets)
    return replace(token, name=_public_name(token, secrets), description=description, attributes=attributes)


def _public_name(token: Token, secrets: Sequence[str]) -> str:
    return _censor(token.name, secrets) or f"#{int(token.token_id[-24:], 16)}"


def _tells(attribute: Mapping[str, Any], secrets: Sequence[str]) -> bool:
    trait, value = attribute.get("trait_type"), attribute.get("value")
    is_prompt = isinstance(trait, str) and _normalize(trait) in _PROMPT_TRAITS
    return is_prompt or leaks(f"{value}", secrets) or leaks(f"{trait or ''}", secrets)


def leaks(text: str, secrets: Sequence[str]) -> bool:
    """Whether a text contains one of the normalized secrets, or a telling part of one."""
    plain = _normalize(text)
    return any(secret in plain or (len(plain) >= MIN_LEAK_CHARS and plain in secret) for secret in secrets)


def _private_texts(record: Mapping[str, Any]) -> list[str]:
    """Return the texts that a private record hides, normalized."""
    inputs = record.get("inputs") or {}
    generation = record.get("generation") or {}
    texts = [record.get("prompt"), *(inputs.get(name) for name in ("prompt", "negativePrompt"))]
    texts += [generation.get(name) for name in ("prompt", "negativePrompt")]
    plain = [_normalize(text) for text in texts if isinstance(text, str)]
    return [text for text in dict.fromkeys(plain) if len(text) > 1]


def _normalize(text: str) -> str:
    """Return a text for comparisons: in one case, with single spaces, without the ellipsis of a cut title."""
    return " ".join(text.casefold().split()).rstrip(" .…")


def _censor(text: str, secrets: Sequence[str]) -> str:
    return "" if leaks(text, secrets) else text


def _made_with(record: Mapping[str, Any], *, is_private: bool) -> Iterable[dict[str, Any]]:
    """Yield attributes that say how a picture was made."""
    if not record:
        return
    yield {"trait_type": "Site", "value": record["site"]["title"]}
    for model in used_models(record):
        if model.kind in ("checkpoint", "lora", "lycoris"):
            yield {"trait_type": "Checkpoint" if model.kind == "checkpoint" else "LoRA", "value": model.name}
    if record.get("seed") is not None and not is_private:
        # Not a number: seeds are names, and a gallery would show a bar for one.
        yield {"trait_type": "Seed", "value": str(record["seed"])}
    if record.get("finishedAt"):
        yield {"trait_type": "Made", "display_type": "date", "value": record["finishedAt"] // 1000}


def _valid_attributes(attributes: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for attribute in attributes:
        trait, display = attribute.get("trait_type"), attribute.get("display_type")
        value = _valid_value(attribute.get("value"), display)
        if value is None:
            continue
        named = {"trait_type": trait} if isinstance(trait, str) and trait else {}
        is_shown_as = display in NUMERIC_DISPLAY_TYPES and not isinstance(value, str)
        yield named | {"value": value} | ({"display_type": display} if is_shown_as else {})


def _valid_value(value: Any, display: Any) -> str | int | float | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > MAX_EXACT_INTEGER:
            return str(value) if isinstance(value, int) else None
        is_in_ms = display == "date" and abs(value) >= MAX_DATE_S
        return round(value / 1000) if is_in_ms else value
    return value if isinstance(value, str) else None
