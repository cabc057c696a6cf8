"""The looking up of what a picture says it was made with: which of these models are here, and which are not."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.http.context import stores
from schemas.images.params_requests import dict_items
from schemas.library.model_views import ModelView

MAX_RESOURCES = 50
CATEGORIES = {"checkpoint": "Checkpoint", "lora": "LoRA", "lycoris": "LoRA", "vae": "VAE", "embedding": "Embedding"}


def match_resources(params: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """``have``: what is here, each with its ``model``; ``lack``: what is not."""
    have, lack = [], []
    for named in list(_named(params))[:MAX_RESOURCES]:
        found = _found(named)
        if found:
            have.append({**named, "model": {"id": found.id, "name": found.name}})
        else:
            lack.append(dict(named))
    return {"have": have, "lack": lack}


def _named(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    resources = dict_items(params.get("resources"))
    yield from resources
    names = {str(one.get("name", "")).lower() for one in resources}
    for lora in dict_items(params.get("loras")):
        if str(lora.get("name", "")).lower() not in names:
            yield {"type": "lora", "name": lora.get("name"), "weight": lora.get("strength")}
    model = params.get("model")
    if isinstance(model, str) and model and not any(one.get("type") == "checkpoint" for one in resources):
        yield {"type": "checkpoint", "name": model}


def _found(named: Mapping[str, Any]) -> ModelView | None:
    """By its hash or the catalogue's number, which are certain; else by its name, among models of its kind."""
    library = stores().library
    digits = named.get("hash")
    by_hash = library.file_hashes.find_models(digits) if isinstance(digits, str) else []
    if by_hash:
        return next(iter(library.models.get_many(by_hash[:1])), None)
    number = named.get("civitaiVersionId")
    catalogued = library.models.find_by_civitai_version(number) if type(number) is int else []
    if catalogued:
        return catalogued[0]
    name, category = named.get("name"), CATEGORIES.get(str(named.get("type")))
    if not isinstance(name, str) or not name or category is None:
        return None
    return next(iter(library.models.find_by_name(name[:300], category)), None)
