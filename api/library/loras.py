"""The library's LoRAs as generations know them: found by words, named in a job, listed as trainings."""

import re
from typing import Any

from schemas.errors import Unavailable
from schemas.library.model_views import ShownModel
from schemas.library.sanitize import plain_text
from schemas.library.search_query import Order, Sort, Words, read_query
from schemas.library.search_query import Query as Asked
from schemas.library.text_normalization import words as words_of
from schemas.sites.recipe import Recipe
from stores import Stores
from stores.library.search import Wanted

LORA = "LoRA"
MOST_FOUND, MOST_TRAININGS, PAGE = 20, 1000, 100
LONGEST_DESCRIPTION = 500
TRAINING_ID = re.compile(r"0x0{48}([0-9a-f]{16})", re.ASCII)
SLUGS = {
    "sdxl 1.0": "stability-ai-sdxl",
    "sd 1.5": "stability-ai-stable-diffusion",
    "flux.1 d": "black-forest-labs-flux-dev",
}


def found_in_library(stores: Stores, text: str) -> list[dict[str, Any]]:
    """The library's LoRAs for these words, in the shape of the Weights API."""
    if not stores.settings.models_dir:
        return []
    asked = Asked(words=tuple(Words((word,)) for word in words_of(text)))
    page = stores.library.listing.page(_loras(asked), limit=MOST_FOUND)
    return [_as_found(stores, model) for model in stores.library.shelf.some(page.ids)]


def _loras(asked: Asked) -> Wanted:
    return Wanted({"category": LORA}, asked, Order(Sort.NAME, descending=False))


def _as_found(stores: Stores, model: ShownModel) -> dict[str, Any]:
    thumb = f"{stores.settings.public_url}/api/v1/images/{model.hero.id}/thumb" if model.hero else None
    return {
        "name": model.name,
        "image": thumb,
        "tags": list(model.facts.tags),
        "description": plain_text(model.facts.description or "", LONGEST_DESCRIPTION),
        "source": "library",
    }


def resolved(stores: Stores, recipe: Recipe, lora: str | None) -> str | None:
    """The LoRA as the site's page takes it: by the name of its file, where the page is told in the prompt.

    What the library does not know by that name is left as it is: the site may.
    """
    if not (lora and recipe.loras and recipe.loras.syntax and stores.settings.models_dir):
        return lora
    try:
        known = stores.library.shelf.named(lora, LORA)
    except Unavailable:
        return lora
    stems = [file.stem for model in known for version in model.versions for file in version.files if file.present]
    return lora if lora in stems else next(iter(stems), lora)


def trainings(stores: Stores, address: str) -> list[dict[str, Any]]:
    """The library's LoRAs in the shape of the generaitiv API."""
    if not stores.settings.models_dir:
        return []
    found: list[dict[str, Any]] = []
    cursor, more = None, True
    while more and len(found) < MOST_TRAININGS:
        page = stores.library.listing.page(_loras(read_query("")), limit=PAGE, cursor=cursor)
        found += [_as_training(model, address) for model in stores.library.shelf.some(page.ids)]
        cursor, more = page.following, page.following is not None
    return found


def _as_training(model: ShownModel, address: str) -> dict[str, Any]:
    base = (model.base_model or "").lower()
    return {
        "id": training_id(model.id),
        "name": model.name,
        "description": plain_text(model.facts.description or "", LONGEST_DESCRIPTION),
        "status": "COMPLETED",
        "owner": address,
        "source_model_slug": SLUGS.get(base, re.sub(r"[^a-z0-9]+", "-", base).strip("-")),
    }


def training_id(model_id: int) -> str:
    """A model as clients of the generaitiv API know it."""
    return f"0x{model_id:064x}"


def name_of_training(stores: Stores, ident: str) -> str | None:
    """The LoRA behind the id of a training; None if it is no such id, or nobody's."""
    found = TRAINING_ID.fullmatch(ident.lower())
    models = stores.library.shelf.some([int(found[1], 16)]) if found and int(found[1], 16) < 2**53 else []
    return models[0].name if models else None
