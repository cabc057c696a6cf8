"""The permission to visit a site: accepted terms and stored credentials."""

from typing import Any

from schemas.sites.recipe import Recipe
from stores import Stores


def authorize_visit(stores: Stores, recipe: Recipe) -> dict[str, Any] | None:
    """Check that the site's terms are accepted, and return its storage state (None without credentials); blocking.

    Called once for each visit. Requests check the terms too, but only to reject early: the terms of a recipe may
    change while a job is queued.

    Raises:
        Forbidden: the site's current terms have not been accepted.
        NeedsHuman: the site needs credentials that are not stored, or they cannot be decrypted.
    """
    stores.accepted_terms.require(recipe)
    return stores.credentials.load(recipe)
