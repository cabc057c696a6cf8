"""The library's LoRAs for the compatible APIs: search results of the Weights API, trainings of the generaitiv API."""

import re
from collections import Counter
from typing import Any

from schemas.library.model_views import ModelView
from schemas.library.sanitize import html_to_text
from schemas.library.search_query import Phrase, SearchQuery, SortKey, SortOrder
from schemas.library.text_normalization import normalize, split_words
from stores import Stores
from stores.library.search import SearchFilter

LORA = "LoRA"
MAX_RESULTS, MAX_TRAININGS, PAGE_SIZE = 20, 1000, 100
MAX_DESCRIPTION_CHARS = 500
# A model id as an Ethereum-style hash of 256 bits.
TRAINING_ID = re.compile(r"0x0{48}([0-9a-f]{16})", re.ASCII)
MAX_MODEL_ID = 2**53
SLUGS = {
    "sdxl 1.0": "stability-ai-sdxl",
    "sd 1.5": "stability-ai-stable-diffusion",
    "flux.1 d": "black-forest-labs-flux-dev",
}


def search_library_loras(stores: Stores, text: str) -> list[dict[str, Any]]:
    """Return the LoRAs that match all words of ``text``, or any without a text, in the shape of the Weights API."""
    if not stores.has_library:
        return []
    # A query of nothing but marks has no words. A phrase without words matches nothing; no phrase matches everything.
    words = split_words(text)
    query = SearchQuery(phrases=tuple(Phrase((word,)) for word in words) or ((Phrase(()),) if text else ()))
    page = stores.library.search.find_page(_lora_filter(query), limit=MAX_RESULTS)
    models = stores.library.models.get_many(page.ids, with_versions=True)
    counts = Counter(normalize(model.name) for model in models)
    return [_search_result(stores, model, is_ambiguous=counts[normalize(model.name)] > 1) for model in models]


def list_trainings(stores: Stores, address: str) -> list[dict[str, Any]]:
    """Return all LoRAs as trainings owned by ``address``, in the shape of the generaitiv API."""
    if not stores.has_library:
        return []
    trainings: list[dict[str, Any]] = []
    cursor, has_more = None, True
    while has_more and len(trainings) < MAX_TRAININGS:
        page = stores.library.search.find_page(_lora_filter(SearchQuery()), limit=PAGE_SIZE, cursor=cursor)
        trainings += [_training(model, address) for model in stores.library.models.get_many(page.ids)]
        cursor, has_more = page.next_cursor, page.next_cursor is not None
    return trainings


def _lora_filter(query: SearchQuery) -> SearchFilter:
    return SearchFilter({"category": LORA}, query, SortOrder(SortKey.NAME, descending=False))


def _search_result(stores: Stores, model: ModelView, *, is_ambiguous: bool) -> dict[str, Any]:
    """Return a search result. Clients send its name with a job, so a name that several have is that of the file."""
    thumb_url = f"{stores.settings.public_url}/api/v1/images/{model.hero.id}/thumb" if model.hero else None
    return {
        "name": model.present_stems[0] if is_ambiguous and model.present_stems else model.name,
        "image": thumb_url,
        "tags": list(model.metadata.tags),
        "description": html_to_text(model.metadata.description or "", MAX_DESCRIPTION_CHARS),
        "source": "library",
    }


def _training(model: ModelView, address: str) -> dict[str, Any]:
    base = (model.base_model or "").lower()
    return {
        "id": training_id(model.id),
        "name": model.name,
        "description": html_to_text(model.metadata.description or "", MAX_DESCRIPTION_CHARS),
        "status": "COMPLETED",
        "owner": address,
        "source_model_slug": SLUGS.get(base, re.sub(r"[^a-z0-9]+", "-", base).strip("-")),
    }


def training_id(model_id: int) -> str:
    """Return the training id of a model in the generaitiv API."""
    return f"0x{model_id:064x}"


def lora_name_from_training_id(stores: Stores, training: str) -> str | None:
    """Return the name of the model behind a training id, or of its file if other LoRAs have that name too.

    None if there is no such model.
    """
    match = TRAINING_ID.fullmatch(training.lower())
    model_id = int(match[1], 16) if match else MAX_MODEL_ID
    models = stores.library.models.get_many([model_id], with_versions=True) if model_id < MAX_MODEL_ID else []
    if not models:
        return None
    name = models[0].name
    stems = models[0].present_stems
    is_ambiguous = len(stores.library.models.find_by_name(name, LORA)) > 1
    return stems[0] if stems and is_ambiguous else name
