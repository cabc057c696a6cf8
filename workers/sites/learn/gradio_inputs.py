"""The inputs of a recipe, made from the fields of a Gradio app: names, types, bounds, choices and defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from schemas.sites.recipe_schema import BUILT_IN_PLACEHOLDERS
from workers.sites.learn.gradio_layout import IMAGE_INPUT_TYPES, TEXT_TYPES, Component
from workers.sites.learn.vocabulary import RANDOM_SEED, input_name, mentions, to_name

MAX_CHOICES = 500
# Values that the page keeps for itself, and fields for pictures that have to be drawn.
IGNORED_TYPES = frozenset({"state", "browserstate", *(IMAGE_INPUT_TYPES - {"image"})})
NUMBER_TYPES = frozenset({"number", "slider"})
# Names of whole numbers, for fields that do not say so themselves.
WHOLE = frozenset({"seed", "steps", "width", "height", "image_count"})


@dataclass(frozen=True, slots=True)
class LearnedInput:
    """An input of the recipe and the component that takes it."""

    name: str
    component: Component
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LearnedInputs:
    """The inputs, the checkbox that must be off for a seed to count, and sentences about omitted fields."""

    inputs: tuple[LearnedInput, ...]
    random_seed: Component | None
    doubts: tuple[str, ...]


def learn_inputs(components: tuple[Component, ...]) -> LearnedInputs:
    """Return the inputs for these fields; the prompt is not among them."""
    random_seed = next((item for item in components if _draws_seed(item)), None)
    inputs: list[LearnedInput] = []
    doubts: list[str] = []
    for component in components:
        if component is random_seed or component.type in IGNORED_TYPES:
            continue
        if component.is_secret:
            doubts.append(f"{describe(component)} is for a password or a key, so it is left as the page sets it.")
            continue
        spec = _spec(component)
        if spec is None:
            doubts.append(f"{describe(component)} is left as the page sets it: recipes have no input of this type.")
            continue
        name = _unique_name(component, {item.name for item in inputs})
        if name in WHOLE and spec["type"] == "number" and _is_whole(component):
            spec["type"] = "integer"
        inputs.append(LearnedInput(name, component, spec))
    return LearnedInputs(tuple(inputs), random_seed, tuple(doubts))


def describe(component: Component) -> str:
    """Return a component for people, such as ``the slider "Steps"``."""
    return f'the {component.type} "{component.label}"' if component.label else f"a {component.type} without a label"


def _draws_seed(component: Component) -> bool:
    """Whether a checkbox makes the page draw a seed itself."""
    if component.type != "checkbox" or component.props.get("value") is not True:
        return False
    return mentions(component.words, RANDOM_SEED)


def _spec(component: Component) -> dict[str, Any] | None:
    """Return the input's section of the recipe, None for a type that recipes do not have."""
    spec: dict[str, Any] = {"label": component.label or component.words or component.type}
    value = component.props.get("value")
    if component.type in TEXT_TYPES:
        spec["type"] = "string"
    elif component.type in NUMBER_TYPES:
        spec |= _numeric_spec(component)
    elif component.type == "checkbox":
        spec["type"] = "boolean"
    elif component.type == "image":
        return spec | {"type": "image"} if _takes_files(component) else None
    elif component.type in ("dropdown", "radio") and not component.props.get("multiselect"):
        spec["type"] = "string"
        spec["choices"] = list(choice_names(component))[:MAX_CHOICES]
        value = _chosen_name(component)
    else:
        return None
    if isinstance(value, str | int | float) and value != "":
        spec["default"] = value
    return spec


def _takes_files(component: Component) -> bool:
    """Whether a person can upload a file to an image; it may be for the camera or for drawings alone."""
    # "source" before Gradio 4, "sources" since.
    sources = component.props.get("sources") or component.props.get("source") or ["upload"]
    return "upload" in sources


def _numeric_spec(component: Component) -> dict[str, Any]:
    bounds = {key: component.props.get(key) for key in ("minimum", "maximum")}
    spec: dict[str, Any] = {key: value for key, value in bounds.items() if _is_number(value)}
    step = component.props.get("step")
    whole_step = int(step) if _is_number(step) and float(step) == int(step) and step >= 1 else 0
    is_whole_slider = component.type == "slider" and whole_step > 0 and _is_whole(component)
    if component.props.get("precision") != 0 and not is_whole_slider:
        return spec | {"type": "number"}
    spec = {key: int(value) for key, value in spec.items()}
    if whole_step > 1 and spec.get("minimum", 0) % whole_step == 0:
        spec["multiple_of"] = whole_step
    return spec | {"type": "integer"}


def _is_whole(component: Component) -> bool:
    numbers = [component.props.get(key) for key in ("value", "minimum", "maximum")]
    return all(float(number) == int(number) for number in numbers if _is_number(number))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")


def choice_names(component: Component) -> Iterator[str]:
    """Yield the names of a field's choices; since Gradio 3.40 each choice is a pair of name and value."""
    for name, _ in _choices(component):
        yield name


def _choices(component: Component) -> Iterator[tuple[str, Any]]:
    choices = component.props.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, list) and len(choice) == 2:
            yield str(choice[0]), choice[1]
        elif isinstance(choice, str | int | float):
            yield str(choice), choice


def _chosen_name(component: Component) -> str | None:
    value = component.props.get("value")
    return next((name for name, choice in _choices(component) if choice == value), None)


def _unique_name(component: Component, taken: set[str]) -> str:
    name = input_name(component.label) or to_name(component.label) or input_name(component.words)
    name = name or to_name(component.element_id) or component.type
    if name in BUILT_IN_PLACEHOLDERS:
        name = f"{name}_text"
    if name not in taken:
        return name
    own = to_name(component.label)
    if own and own not in taken | BUILT_IN_PLACEHOLDERS:
        return own
    # A part of a name begins with a letter: the second is name_b, the third name_c.
    return next(f"{name}_{letter}" for letter in _letters() if f"{name}_{letter}" not in taken)


def _letters() -> Iterator[str]:
    for size in range(1, 4):
        for letter in "bcdefghijklmnopqrstuvwxyz":
            yield letter * size
