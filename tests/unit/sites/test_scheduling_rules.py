"""The limits of sites are published under their own digest."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from schemas.sites.recipe import Recipe
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes
from stores.sites.scheduling_rules import SchedulingRules

STUDIO = Recipes("studio").default


class ChangingRecipes(Recipes):
    """One recipe, whose limits change."""

    def __init__(self) -> None:
        super().__init__("studio")
        self.concurrency = 1

    def list_all(self) -> list[Recipe]:
        """Return the recipe as it is now."""
        return [replace(STUDIO, limits=replace(STUDIO.limits, concurrency=self.concurrency))]


class PublishedRules(Scripts):
    """The rules that a server has; each call of a script meanwhile reloads the recipes, as another thread would."""

    def __init__(self, recipes: ChangingRecipes) -> None:
        self.recipes = recipes
        self.published: dict[str, str] = {}
        self.rules = SchedulingRules(self, recipes)
        self.is_reloading = False

    def run(self, name: str, arguments: Mapping[str, Any], *values: str | int | bytes) -> Any:
        """Answer as Redis would."""
        if name == "publish_rules":
            self.published[arguments["rules"]] = str(values[1])
            return None
        if not self.is_reloading:
            self.is_reloading = True
            self.recipes.concurrency += 1
            self.rules.run(name, {})
        return self.published.get(arguments["rules"], b"rules")


def test_a_reload_during_a_call_does_not_mix_two_states_of_the_recipes() -> None:
    """The call is answered by the rules with which it began."""
    server = PublishedRules(ChangingRecipes())

    assert str(server.rules.run("claim", {})).startswith("1 ")
    assert sorted(rows.split()[0] for rows in server.published.values()) == ["1", "2"]
