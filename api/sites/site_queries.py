"""Live queries to sites while a client waits: LoRA search, quota, choices of inputs.

A worker answers them. Answers are cached, and a stale answer is used if no worker responds in time.
"""

from typing import Any

from api.http.context import stores
from api.library.loras import search_library_loras
from schemas.errors import Unavailable
from schemas.library.text_normalization import normalize, split_words
from schemas.messages import READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from schemas.sites.recipe import Recipe

SEARCH_CACHE_TTL_S, SEARCH_TIMEOUT_S = 300, 5.0
QUOTA_CACHE_TTL_S, QUOTA_TIMEOUT_S = 60, 2.0
CHOICES_CACHE_TTL_S, CHOICES_TIMEOUT_S = 300, 5.0
RETRY_AFTER_S = 5


def search_loras(recipe: Recipe, query: str) -> tuple[list[dict[str, Any]], bool]:
    """Search the site's catalogue and the model library; return the LoRAs, and whether the site's part is fresh.

    An empty query finds what the site and the library list first.

    Raises:
        Unavailable: the site does not answer, and neither the cache nor the library has results.
        Forbidden: the site's terms have not been accepted.
    """
    if query and not split_words(query):
        # Sites differ in what they find by nothing but marks; some list all that they have.
        return [], True
    in_library = search_library_loras(stores(), query)
    if recipe.loras is None or not recipe.loras.query:
        return in_library, True
    stores().accepted_terms.require(recipe)
    on_site, is_fresh = stores().site_queries.ask(
        SEARCH_LORAS, recipe.name, query, max_age_s=SEARCH_CACHE_TTL_S, timeout_s=SEARCH_TIMEOUT_S
    )
    if on_site is None and not in_library:
        raise Unavailable(f"The site {recipe.name!r} did not answer in time.", retry_after_s=RETRY_AFTER_S)
    names = {normalize(str(lora["name"])) for lora in on_site or ()}
    return [*(on_site or ()), *(lora for lora in in_library if normalize(lora["name"]) not in names)], is_fresh


def site_quota(recipe: Recipe) -> dict[str, Any] | None:
    """Return the quota that the site shows; None if it shows none or does not answer in time."""
    if recipe.quota is None or not stores().accepted_terms.is_accepted(recipe):
        return None
    timeout_s = _effective_timeout(QUOTA_TIMEOUT_S)
    quota, _ = stores().site_queries.ask(READ_QUOTA, recipe.name, "", max_age_s=QUOTA_CACHE_TTL_S, timeout_s=timeout_s)
    return {"name": recipe.name, **quota} if quota else None


def site_choices(recipe: Recipe) -> dict[str, list[str]]:
    """Return the choices of those inputs whose recipe reads them from the page, if the site answers in time."""
    return _choices(recipe, _effective_timeout(CHOICES_TIMEOUT_S))


def known_choices(recipe: Recipe) -> dict[str, list[str]]:
    """Return the choices that were read last, without asking the site."""
    return _choices(recipe, 0.0)


def _choices(recipe: Recipe, timeout_s: float) -> dict[str, list[str]]:
    if not stores().accepted_terms.is_accepted(recipe):
        return {}
    choices: dict[str, list[str]] = {}
    for name, spec in recipe.inputs.items():
        if spec.choices_from:
            answer, _ = stores().site_queries.ask(
                READ_CHOICES, recipe.name, name, max_age_s=CHOICES_CACHE_TTL_S, timeout_s=timeout_s
            )
            if answer:
                choices[name] = answer
    return choices


def _effective_timeout(seconds: float) -> float:
    """Return ``seconds``, or 0 if no worker is ready to answer."""
    return seconds if any(worker.ready for worker in stores().workers.list_alive()) else 0.0
