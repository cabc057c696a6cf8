"""Inputs that a recipe declares and its page was found to have no field for.

Recipes for many pages, such as any made with Gradio, declare more than each page has, and it takes a job several
seconds to find that out.
"""

import hashlib
from collections.abc import Collection
from typing import cast

from redis import Redis

from schemas.sites.recipe import Recipe
from stores.redis.keys import absent_inputs_key

# Pages change.
TTL_S = 86_400


class AbsentInputs:
    """The absent inputs of all sites in one Redis."""

    def __init__(self, client: Redis) -> None:
        self._redis = client

    def read(self, recipe: Recipe) -> frozenset[str]:
        """Return the inputs that the recipe's page was found to lack within the last day."""
        return frozenset(name.decode() for name in cast(set[bytes], self._redis.smembers(_key(recipe))))

    def add(self, recipe: Recipe, names: Collection[str]) -> None:
        """Remember that the recipe's page lacks inputs."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.sadd(_key(recipe), *names)
            pipeline.expire(_key(recipe), TTL_S)
            pipeline.execute()


def _key(recipe: Recipe) -> str:
    # Another recipe, or the same one for another page, is another question.
    page = hashlib.sha256(f"{recipe.version} {recipe.url}".encode()).hexdigest()[:16]
    return absent_inputs_key(recipe.name, page)
