"""The fields of other programs' APIs, and the inputs of recipes that they set.

An API lists its fields as a ``ClientApi``; ``translate`` turns what a client has sent into inputs that a recipe
declares. ``TARGETS`` are the same for all of these APIs, so that one table can compare them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.errors import Invalid
from schemas.fields import MAX_PROBLEMS, MAX_QUOTED_LENGTH, to_camel_case, to_snake_case
from schemas.sites.recipe import InputSpec, Recipe

# What recipes call an input, in order of preference, by the name that stands for it here.
INPUT_NAMES: Mapping[str, tuple[str, ...]] = {
    "negative_prompt": ("negative_prompt",),
    "seed": ("seed",),
    "width": ("width",),
    "height": ("height",),
    "steps": ("steps",),
    "guidance": ("cfg_scale", "guidance_scale", "guidance", "cfg"),
    "sampler": ("sampler", "sampler_name"),
    "scheduler": ("scheduler",),
    "count": ("batch_size", "image_number", "batch_count", "num_outputs", "count"),
    "model": ("checkpoint", "model"),
    "image": ("init", "init_image", "image"),
    "mask": ("mask", "mask_image"),
    "strength": ("denoising_strength", "strength"),
    "lora_weight": ("lora_weight", "lora_scale"),
    "quality": ("quality", "performance"),
    "style": ("style",),
    "background": ("background",),
    "clip_skip": ("clip_skip",),
    "vae": ("vae",),
}
# What else a field can be for.
JOB_TARGETS: Mapping[str, str] = {
    "prompt": "the prompt",
    "site": "the site",
    "lora": "the LoRA",
    "priority": "the order among the caller's own jobs",
    "webhook": "the URL that gets the final event",
    "answer": "options of the answer, not of the picture",
    "ignored": "accepted without effect",
}
SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ClientField:
    """A field of an API: its name, and the targets that it sets, as keys of ``INPUT_NAMES`` or ``JOB_TARGETS``.

    Of several inputs the first that a recipe declares is set; with ``sets_all``, every one of them. ``neutral`` values
    ask for nothing special, so they are accepted on every site and set nothing.
    """

    name: str
    targets: tuple[str, ...]
    neutral: tuple[Any, ...] = ()
    sets_all: bool = False

    @property
    def is_input(self) -> bool:
        """Whether it sets an input of a site."""
        return self.targets[0] in INPUT_NAMES

    def own_names(self) -> Iterator[str]:
        """Yield the names that recipes may have for its input."""
        for target in self.targets:
            yield from INPUT_NAMES.get(target, ())


@dataclass(frozen=True, slots=True)
class ClientApi:
    """An API of another program.

    With ``refuses_unknown``, a field that a site does not accept is an error that lists the accepted ones; otherwise it
    is dropped with a warning.
    """

    title: str
    fields: tuple[ClientField, ...]
    refuses_unknown: bool = False

    def find(self, name: str) -> ClientField | None:
        """Return the field with that name."""
        return next((each for each in self.fields if each.name == name), None)


class SentField(NamedTuple):
    """A field as a client has sent it.

    ``input`` is the recipe's input that it sets, if the API has found that itself, and empty if there is none.
    """

    name: str
    value: Any
    input: str | None = None


@dataclass(frozen=True, slots=True)
class TranslatedInputs:
    """The inputs that a recipe accepts, and a warning for each field that was dropped."""

    inputs: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


def find_input(recipe: Recipe, *targets: str) -> str | None:
    """Return the recipe's name of the first of these inputs that it declares."""
    names = (name for target in targets for name in INPUT_NAMES[target])
    return next((name for name in names if name in recipe.inputs), None)


def translate(api: ClientApi, recipe: Recipe, sent: Iterable[SentField]) -> TranslatedInputs:
    """Return the fields that set inputs under the recipe's names, with the recipe's types.

    A field with the name of an input of the recipe sets that input, whatever the API's table says. Fields whose value
    is None or neutral are left out.

    Raises:
        Invalid: the API refuses unknown fields and there are some, or a value is not accepted; or the value of an image
            input is not accepted, in any API, because a picture without it would not be the requested one.
    """
    translation = _Translation(api, recipe)
    for each in sent:
        known = api.find(each.name)
        if each.value is not None and not (known and each.value in known.neutral):
            translation.add(each)
    return translation.finish()


def accepted_fields(api: ClientApi, recipe: Recipe) -> list[str]:
    """Return the names of the fields of an API that have an effect on a site, the site's own inputs last."""
    known = [each for each in api.fields if _has_effect(each, recipe)]
    covered = {name for each in known for name in each.own_names()}
    return [each.name for each in known] + [name for name in recipe.inputs if name not in covered]


def parse_size(name: str, text: Any) -> tuple[int, int]:
    """Return width and height of ``WIDTHxHEIGHT``; raises Invalid, which names the field ``name``."""
    match = SIZE.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if match is None:
        given = f"(given: {str(text)[:40]!r})"
        raise Invalid(problems=[f"{name}: must be WIDTHxHEIGHT in pixels, such as 1024x768 {given}."])
    return int(match[1]), int(match[2])


def size_fields(recipe: Recipe, name: str, text: Any) -> list[SentField]:
    """Return the fields for width and height of a field with both; raises as ``parse_size``."""
    width, height = parse_size(name, text)
    names = find_input(recipe, "width"), find_input(recipe, "height")
    if None in names:
        return [SentField(name, text, input="")]
    return [SentField(name, value, own) for own, value in zip(names, (width, height), strict=True)]


def fields_for(api: ClientApi, target: str) -> Sequence[str]:
    """Return the names of the fields of an API that are for a target."""
    return [each.name for each in api.fields if target in each.targets]


class _Translation:
    """The inputs and problems found so far."""

    def __init__(self, api: ClientApi, recipe: Recipe) -> None:
        self._api = api
        self._recipe = recipe
        self._inputs: dict[str, Any] = {}
        self._warnings: list[str] = []
        self._problems: list[str] = []
        self._has_unknown = False

    def add(self, sent: SentField) -> None:
        """Translate one field."""
        name = self._find_name(sent)
        if name is None:
            self._has_unknown = True
            self._reject(f"{sent.name[:MAX_QUOTED_LENGTH]}: {self._recipe.name} has no such input.")
        elif name in self._inputs and self._api.refuses_unknown:
            self._reject(f"{sent.name}: another field sets the input {name!r} as well.")
        else:
            self._set(name, sent)

    def finish(self) -> TranslatedInputs:
        """Return the result; raises Invalid if the API refuses what was rejected."""
        if self._problems:
            takes = ", ".join(accepted_fields(self._api, self._recipe))
            advice = [f"{self._recipe.name} takes {takes}."] if self._has_unknown else []
            raise Invalid(problems=[*list(dict.fromkeys(self._problems))[:MAX_PROBLEMS], *advice])
        return TranslatedInputs(self._inputs, self._warnings)

    def _find_name(self, sent: SentField) -> str | None:
        plain = to_snake_case(sent.name)
        if sent.input is not None:
            return sent.input or None
        if plain in self._recipe.inputs:
            return plain
        known = self._api.find(sent.name) or self._api.find(plain)
        names = known.own_names() if known else ()
        return next((name for name in names if name in self._recipe.inputs), None)

    def _set(self, name: str, sent: SentField) -> None:
        spec = self._recipe.inputs[name]
        try:
            value = self._recipe.validate_inputs({name: _spell(spec, sent.value)}).get(name)
        except Invalid as error:
            if spec.type == "image" and not self._api.refuses_unknown:
                raise
            own = f"{to_camel_case(name)}:"
            for problem in error.problems:
                self._reject(problem.replace(own, f"{sent.name}:", 1))
        else:
            if value is not None:
                self._inputs[name] = value

    def _reject(self, problem: str) -> None:
        if self._api.refuses_unknown:
            self._problems.append(problem)
        else:
            self._warnings.append(f"{problem.removesuffix('.')}; it was ignored.")


def _has_effect(each: ClientField, recipe: Recipe) -> bool:
    if not each.is_input:
        return "ignored" not in each.targets and ("lora" not in each.targets or recipe.loras is not None)
    wanted = all if each.sets_all else any
    return wanted(_declares(recipe, target) for target in each.targets)


def _declares(recipe: Recipe, target: str) -> bool:
    # The number of pictures and the site need no input: there can be several jobs.
    return target not in INPUT_NAMES or target == "count" or find_input(recipe, target) is not None


def _spell(spec: InputSpec, value: Any) -> Any:
    """Return a text as the recipe's choices spell it: APIs have their own upper and lower case."""
    if not isinstance(value, str):
        return value
    return next((choice for choice in spec.choices if choice.lower() == value.strip().lower()), value)
