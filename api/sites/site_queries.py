"""The questions that the API asks of a site while a client waits. Used by the Weights surface."""

from typing import Any

from api.http.context import stores
from api.library.loras import search_library_loras
from schemas.errors import Unavailable
from schemas.library.text_normalization import normalize
from schemas.messages import READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from schemas.sites.recipe import Recipe

SEARCH_CACHE_TTL_S = 300
SEARCH_TIMEOUT_S = 5.0
QUOTA_CACHE_TTL_S = 60
CHOICES_CACHE_TTL_S = 300
CHOICES_TIMEOUT_S = 5.0
QUOTA_TIMEOUT_S = 2.0
RETRY_AFTER_S = 5


def search_loras(recipe: Recipe, query: str) -> tuple[list[dict[str, Any]], bool]:
    """What the site's catalogue and the library have for ``words``, and whether the site itself has just said so.

    Raises:
        Unavailable: the site does not answer, and nothing is known from before or from the library.
    """
    own = search_library_loras(stores(), query)
    if recipe.loras is None or not recipe.loras.query:
        return own, True
    stores().accepted_terms.require(recipe)
    found, fresh = stores().site_queries.ask(
        SEARCH_LORAS, recipe.name, query, max_age_s=SEARCH_CACHE_TTL_S, timeout_s=SEARCH_TIMEOUT_S
    )
    if found is None and not own:
        raise Unavailable(f"The site {recipe.name!r} did not answer in time.", retry_after_s=RETRY_AFTER_S)
    known = {normalize(str(lora["name"])) for lora in found or ()}
    return [*(found or ()), *(lora for lora in own if normalize(lora["name"]) not in known)], fresh


def site_quota(recipe: Recipe) -> dict[str, Any] | None:
    """The quota that the site itself shows; None if it shows none or does not answer in time."""
    if recipe.quota is None or not stores().accepted_terms.is_accepted(recipe):
        return None
    patience_s = _effective_timeout(QUOTA_TIMEOUT_S)
    shown, _fresh = stores().site_queries.ask(
        READ_QUOTA, recipe.name, "", max_age_s=QUOTA_CACHE_TTL_S, timeout_s=patience_s
    )
    return {"name": recipe.name, **shown} if shown else None


def site_choices(recipe: Recipe) -> dict[str, list[str]]:
    """What the page offers for those inputs whose choices stand there, as far as the site tells in time."""
    if not stores().accepted_terms.is_accepted(recipe):
        return {}
    asked = [name for name, one in recipe.inputs.items() if one.choices_from]
    patience_s = _effective_timeout(CHOICES_TIMEOUT_S)
    answers = {
        name: stores().site_queries.ask(
            READ_CHOICES, recipe.name, name, max_age_s=CHOICES_CACHE_TTL_S, timeout_s=patience_s
        )[0]
        for name in asked
    }
    return {name: answer for name, answer in answers.items() if answer}


def _effective_timeout(seconds: float) -> float:
    """No time at all where no worker could answer."""
    return seconds if any(worker.ready for worker in stores().workers.list_alive()) else 0.0
