"""Matches the models that an image says it was made with to models of the library."""

from collections.abc import Iterator, Mapping
from typing import Any

from api.http.context import stores
from schemas.images.params_requests import dict_items
from schemas.library.model_views import ModelView

MAX_RESOURCES = 50
MAX_NAME_CHARS = 300
CATEGORIES = {"checkpoint": "Checkpoint", "lora": "LoRA", "lycoris": "LoRA", "vae": "VAE", "embedding": "Embedding"}


def match_resources(params: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the resources of an image: in ``have`` those of the library, with their ``model``; in ``lack`` the rest.

    ``params`` are generation parameters under their JSON names, and untrusted: any value may be of any type.
    """
    have, lack = [], []
    for resource in list(_resources(params))[:MAX_RESOURCES]:
        model = _find_model(resource)
        if model:
            have.append({**resource, "model": {"id": model.id, "name": model.name}})
        else:
            lack.append(dict(resource))
    return {"have": have, "lack": lack}


def _resources(params: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield ``resources``, and then ``loras`` and the ``model`` if they are not among them."""
    resources = dict_items(params.get("resources"))
    yield from resources
    names = {str(resource.get("name", "")).lower() for resource in resources}
    for lora in dict_items(params.get("loras")):
        if str(lora.get("name", "")).lower() not in names:
            yield {"type": "lora", "name": lora.get("name"), "weight": lora.get("strength")}
    model = params.get("model")
    has_checkpoint = any(resource.get("type") == "checkpoint" for resource in resources)
    if isinstance(model, str) and model and not has_checkpoint:
        yield {"type": "checkpoint", "name": model}


def _find_model(resource: Mapping[str, Any]) -> ModelView | None:
    """Find a model by hash or Civitai version, which are unique; otherwise by name among models of its category."""
    library = stores().library
    hash_ = resource.get("hash")
    by_hash = library.file_hashes.find_models(hash_) if isinstance(hash_, str) else []
    if by_hash:
        return next(iter(library.models.get_many(by_hash[:1])), None)
    civitai_version_id = resource.get("civitaiVersionId")
    if type(civitai_version_id) is int and (by_version := library.models.find_by_civitai_version(civitai_version_id)):
        return by_version[0]
    name, category = resource.get("name"), CATEGORIES.get(str(resource.get("type")))
    if not isinstance(name, str) or not name or category is None:
        return None
    return next(iter(library.models.find_by_name(name[:MAX_NAME_CHARS], category)), None)
