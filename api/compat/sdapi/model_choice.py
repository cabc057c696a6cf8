"""Models of this API: a site, or ``SITE:MODEL`` for one of its checkpoints."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from api.http.context import stores
from api.sites.site_queries import known_choices
from schemas.errors import Invalid
from schemas.jobs.sdapi.translation import OPTION_MODEL
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

SEPARATOR = ":"
MAX_LISTED = 20
# The suffix that programs add to the name of a checkpoint: "name.safetensors [879db523c3]".
DECORATION = re.compile(r"(\.(?:safetensors|ckpt|pt|gguf))?(?:\s*\[[0-9a-f]{6,64}\])?$", re.IGNORECASE)
# A site of this name takes pictures for another one, which does not.
PICTURE_SUFFIX = "_img2img"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A site and, if one was chosen, its model as the site spells it."""

    recipe: Recipe
    model: str | None = None

    @property
    def title(self) -> str:
        """The name in this API."""
        return f"{self.recipe.name}{SEPARATOR}{self.model}" if self.model else self.recipe.name


def list_models() -> list[ModelChoice]:
    """Return every site, each followed by those of its models that are known."""
    return [
        choice
        for recipe in stores().recipes.list_all()
        for choice in (ModelChoice(recipe), *(ModelChoice(recipe, name) for name in _models_of(recipe)))
    ]


def find_model(title: str) -> ModelChoice:
    """Return the choice of a title; empty for the default site. A model's name alone means one of the default site.

    Raises:
        Invalid: there is no such site, or the site does not offer that model.
    """
    recipes = {recipe.name: recipe for recipe in stores().recipes.list_all()}
    default = stores().recipes.default
    if not title:
        return ModelChoice(default)
    site, _, model = title.partition(SEPARATOR)
    if site in recipes:
        return ModelChoice(recipes[site], _spell_model(recipes[site], model)) if model else ModelChoice(recipes[site])
    if own := _match(title, _models_of(default)):
        return ModelChoice(default, own)
    raise Invalid(problems=[f"{OPTION_MODEL}: model {title[:100]!r} not found. Known: {', '.join(sorted(recipes))}."])


def with_picture_input(choice: ModelChoice) -> ModelChoice:
    """Return the choice, or that of the site that takes pictures for its site (``NAME_img2img``), if there is one."""
    if find_input(choice.recipe, "image"):
        return choice
    other = f"{choice.recipe.name}{PICTURE_SUFFIX}"
    recipe = next((recipe for recipe in stores().recipes.list_all() if recipe.name == other), None)
    if recipe is None:
        return choice
    return ModelChoice(recipe, choice.model if find_input(recipe, "model") else None)


def _models_of(recipe: Recipe) -> Sequence[str]:
    name = find_input(recipe, "model")
    if name is None:
        return ()
    return recipe.inputs[name].choices or known_choices(recipe).get(name, ())


def _spell_model(recipe: Recipe, model: str) -> str:
    if find_input(recipe, "model") is None:
        raise Invalid(problems=[f"{OPTION_MODEL}: {recipe.name} has no choice of models."])
    offered = _models_of(recipe)
    own = _match(model, offered) if offered else model
    if own is None:
        listed = ", ".join(offered[:MAX_LISTED])
        raise Invalid(problems=[f"{OPTION_MODEL}: {recipe.name} has no model {model[:100]!r}. It has: {listed}."])
    return own


def _match(model: str, offered: Sequence[str]) -> str | None:
    """Return the choice of that name, with or without the extension and the hash that programs add."""
    plain = _plain(model)
    return next((own for own in offered if own == model), None) or next(
        (own for own in offered if _plain(own) == plain), None
    )


def _plain(model: str) -> str:
    return DECORATION.sub("", model.strip()).lower()
