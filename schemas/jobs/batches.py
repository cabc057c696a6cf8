"""Several pictures for one request: by the input of a site that says how many, by several jobs, or by both."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.errors import Invalid
from schemas.fields import to_camel_case
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import InputSpec, Recipe

MAX_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class BatchPart:
    """The inputs of one job of a request, and the number of pictures that the job is to make."""

    inputs: dict[str, Any] = field(repr=False)
    pictures: int = 1


def split_batch(
    recipe: Recipe, inputs: Mapping[str, Any], count: int, *, rng: random.Random, one_each: bool = False
) -> list[BatchPart]:
    """Return the jobs that make ``count`` pictures; ``inputs`` have the recipe's names and types.

    A site with an input for the number of pictures makes as many in one job as that allows, unless ``one_each``. Jobs
    of one request never have the same seed: each begins where the one before ends, as the programs do themselves, from
    the seed in ``inputs`` or from one of ``rng``.

    Raises:
        Invalid: ``inputs`` say how many pictures as well.
    """
    name = find_input(recipe, "count")
    if name is not None and name in inputs:
        if count > 1:
            raise Invalid(problems=[f"{to_camel_case(name)}: another field sets the number of pictures as well."])
        # The client has used the site's own name, so that is what each job gets.
        return [BatchPart(dict(inputs), max(1, int(inputs[name])))]
    largest = 1 if name is None or one_each else int(recipe.inputs[name].maximum or count)
    parts: list[BatchPart] = []
    first_seed = _first_seed(recipe, inputs, rng) if count > largest else None
    made = 0
    while made < count:
        pictures = min(largest, count - made)
        own = dict(inputs)
        if name is not None:
            own[name] = pictures
        if first_seed is not None:
            own["seed"] = _wrap(recipe.inputs["seed"], first_seed + made)
        parts.append(BatchPart(own, pictures))
        made += pictures
    return parts


def _first_seed(recipe: Recipe, inputs: Mapping[str, Any], rng: random.Random) -> int | None:
    """Return the seed of the first job; None if the site draws one for each, or takes none."""
    spec = recipe.inputs.get("seed")
    if spec is None or spec.type != "integer":
        return None
    seed = inputs.get("seed")
    if seed is None:
        return None if spec.random else rng.randint(_smallest(spec), _largest(spec))
    # A negative seed is the program's own word for a random one.
    return int(seed) if seed >= 0 else None


def _smallest(spec: InputSpec) -> int:
    return max(0, int(spec.minimum or 0))


def _largest(spec: InputSpec) -> int:
    return MAX_SEED if spec.maximum is None else int(spec.maximum)


def _wrap(spec: InputSpec, seed: int) -> int:
    smallest = _smallest(spec)
    return smallest + (seed - smallest) % (_largest(spec) - smallest + 1)
