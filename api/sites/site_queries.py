"""The questions that the API asks of a site while a client waits. Used by the Weights surface."""

from typing import Any

from api.http.context import stores
from api.library.loras import found_in_library
from schemas.errors import Unavailable
from schemas.library.text_normalization import fold
from schemas.messages import READ_CHOICES, READ_QUOTA, SEARCH_LORAS
from schemas.sites.recipe import Recipe

SEARCH_FRESH_S = 300
SEARCH_PATIENCE_S = 5.0
QUOTA_FRESH_S = 60
CHOICES_FRESH_S = 300
CHOICES_PATIENCE_S = 5.0
QUOTA_PATIENCE_S = 2.0
RETRY_AFTER_S = 5


def search_loras(recipe: Recipe, words: str) -> tuple[list[dict[str, Any]], bool]:
    """What the site's catalogue and the library have for ``words``, and whether the site itself has just said so.

    Raises:
        Unavailable: the site does not answer, and nothing is known from before or from the library.
    """
    own = found_in_library(stores(), words)
    if recipe.loras is None or not recipe.loras.query:
        return own, True
    stores().consents.require(recipe)
    found, fresh = stores().lookups.ask(
        SEARCH_LORAS, recipe.name, words, fresh_s=SEARCH_FRESH_S, patience_s=SEARCH_PATIENCE_S
    )
    if found is None and not own:
        raise Unavailable(f"The site {recipe.name!r} did not answer in time.", retry_after_s=RETRY_AFTER_S)
    known = {fold(str(lora["name"])) for lora in found or ()}
    return [*(found or ()), *(lora for lora in own if fold(lora["name"]) not in known)], fresh


def site_quota(recipe: Recipe) -> dict[str, Any] | None:
    """The quota that the site itself shows; None if it shows none or does not answer in time."""
    if recipe.quota is None or not stores().consents.given(recipe):
        return None
    patience_s = _patience(QUOTA_PATIENCE_S)
    shown, _fresh = stores().lookups.ask(READ_QUOTA, recipe.name, "", fresh_s=QUOTA_FRESH_S, patience_s=patience_s)
    return {"name": recipe.name, **shown} if shown else None


def site_choices(recipe: Recipe) -> dict[str, list[str]]:
    """What the page offers for those inputs whose choices stand there, as far as the site tells in time."""
    if not stores().consents.given(recipe):
        return {}
    asked = [name for name, one in recipe.inputs.items() if one.choices_from]
    patience_s = _patience(CHOICES_PATIENCE_S)
    answers = {
        name: stores().lookups.ask(READ_CHOICES, recipe.name, name, fresh_s=CHOICES_FRESH_S, patience_s=patience_s)[0]
        for name in asked
    }
    return {name: answer for name, answer in answers.items() if answer}


def _patience(seconds: float) -> float:
    """No time at all where no worker could answer."""
    return seconds if any(worker.ready for worker in stores().fleet.alive()) else 0.0
