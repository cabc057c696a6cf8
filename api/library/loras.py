"""The library's LoRAs as generations know them: found by words, named in a job, listed as trainings."""

import re
from typing import Any

from schemas.library.model_views import ModelView
from schemas.library.sanitize import html_to_text
from schemas.library.search_query import Phrase, SortKey, SortOrder, parse_query
from schemas.library.search_query import SearchQuery as Asked
from schemas.library.text_normalization import split_words as words_of
from stores import Stores
from stores.library.search import SearchFilter

LORA = "LoRA"
MAX_RESULTS, MAX_TRAININGS, PAGE_SIZE = 20, 1000, 100
MAX_DESCRIPTION_CHARS = 500
TRAINING_ID = re.compile(r"0x0{48}([0-9a-f]{16})", re.ASCII)
SLUGS = {
    "sdxl 1.0": "stability-ai-sdxl",
    "sd 1.5": "stability-ai-stable-diffusion",
    "flux.1 d": "black-forest-labs-flux-dev",
}


def search_library_loras(stores: Stores, text: str) -> list[dict[str, Any]]:
    """The library's LoRAs for these words, in the shape of the Weights API."""
    if not stores.settings.models_dir:
        return []
    asked = Asked(phrases=tuple(Phrase((word,)) for word in words_of(text)))
    page = stores.library.search.find_page(_loras(asked), limit=MAX_RESULTS)
    return [_as_found(stores, model) for model in stores.library.models.get_many(page.ids)]


def _loras(asked: Asked) -> SearchFilter:
    return SearchFilter({"category": LORA}, asked, SortOrder(SortKey.NAME, descending=False))


def _as_found(stores: Stores, model: ModelView) -> dict[str, Any]:
    thumb = f"{stores.settings.public_url}/api/v1/images/{model.hero.id}/thumb" if model.hero else None
    return {
        "name": model.name,
        "image": thumb,
        "tags": list(model.facts.tags),
        "description": html_to_text(model.facts.description or "", MAX_DESCRIPTION_CHARS),
        "source": "library",
    }


def list_trainings(stores: Stores, address: str) -> list[dict[str, Any]]:
    """The library's LoRAs in the shape of the generaitiv API."""
    if not stores.settings.models_dir:
        return []
    found: list[dict[str, Any]] = []
    cursor, more = None, True
    while more and len(found) < MAX_TRAININGS:
        page = stores.library.search.find_page(_loras(parse_query("")), limit=PAGE_SIZE, cursor=cursor)
        found += [_as_training(model, address) for model in stores.library.models.get_many(page.ids)]
        cursor, more = page.next_cursor, page.next_cursor is not None
    return found


def _as_training(model: ModelView, address: str) -> dict[str, Any]:
    base = (model.base_model or "").lower()
    return {
        "id": training_id(model.id),
        "name": model.name,
        "description": html_to_text(model.facts.description or "", MAX_DESCRIPTION_CHARS),
        "status": "COMPLETED",
        "owner": address,
        "source_model_slug": SLUGS.get(base, re.sub(r"[^a-z0-9]+", "-", base).strip("-")),
    }


def training_id(model_id: int) -> str:
    """A model as clients of the generaitiv API know it."""
    return f"0x{model_id:064x}"


def lora_name_from_training_id(stores: Stores, training: str) -> str | None:
    """The LoRA behind the id of a training; None if it is no such id, or nobody's."""
    found = TRAINING_ID.fullmatch(training.lower())
    models = stores.library.models.get_many([int(found[1], 16)]) if found and int(found[1], 16) < 2**53 else []
    return models[0].name if models else None
