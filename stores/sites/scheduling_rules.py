"""The limits of sites for the scripts that claim and count jobs.

They are stored in Redis once, under a digest, and each call names only the digest, so that its cost does not grow with
the number of recipes. Processes with other recipes have other digests, and each claims by its own.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from typing import Any

from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes

TTL_S = 86_400
DIGEST_CHARS = 16
MISSING = b"rules"


class SchedulingRules:
    """The limits of the sites in ``recipes``."""

    def __init__(self, scripts: Scripts, recipes: Recipes, *, is_shared: bool = False) -> None:
        """``is_shared`` if other servers have jobs of the same sites, so that the limits hold for all together."""
        self._is_shared = is_shared or None
        self._scripts = scripts
        self._recipes = recipes
        # One object, because threads share it: the digest is that of the rows.
        self._known: tuple[dict[str, str], str] = ({}, "")

    def run(self, script: str, arguments: Mapping[str, Any]) -> Any:
        """Run a script that takes ``rules`` and ``jitter``, and publish the rules if Redis does not have them.

        Raises:
            Unavailable: Redis does not answer.
        """
        # Jittered, so that a site is not visited at a fixed beat.
        rows, digest = self._find_rules()
        jitter = random.uniform(1.0, 1.2)
        arguments = {**arguments, "rules": digest, "jitter": jitter, "shared": self._is_shared}
        answer = self._scripts.run(script, arguments)
        if answer == MISSING:
            parts = [part for pair in rows.items() for part in pair]
            self._scripts.run("publish_rules", {"rules": digest, "ttl_s": TTL_S}, *parts)
            answer = self._scripts.run(script, arguments)
        return answer

    def _find_rules(self) -> tuple[dict[str, str], str]:
        """Return the present limits and their digest; recipes may change at any time."""
        rows = {
            recipe.name: f"{limits.concurrency} {round(limits.min_interval_s * 1000)} {limits.daily}"
            for recipe in self._recipes.list_all()
            if (limits := recipe.limits)
        }
        known = self._known
        if rows != known[0]:
            text = json.dumps(sorted(rows.items()))
            known = self._known = rows, hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
        return known
