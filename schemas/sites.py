"""Owns what a recipe is: the frozen description of a page that a driver can run, and of the inputs it accepts.

Built by ``schemas.recipes``; run by ``workers.sites.driver``; shown by ``api.sites``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import Text, WholeNumber, camel, sentences, snake

Selectors = tuple[tuple[str, ...], ...]

DEFAULT_STEP_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One action on the page, in the vocabulary of the Chrome DevTools Recorder.

    ``selectors`` are alternatives, tried in order; ``when`` names the input without which the step is left out;
    ``submits`` marks the step that hands the prompt to the page.
    """

    type: str
    selectors: Selectors = ()
    value: str = ""
    url: str = ""
    key: str = ""
    name: str = ""
    width: int = 0
    height: int = 0
    x: int = 0
    y: int = 0
    count: int = 1
    visible: bool = True
    timeout_ms: int = DEFAULT_STEP_TIMEOUT_MS
    when: str | None = None
    submits: bool = False


@dataclass(frozen=True, slots=True)
class Watch:
    """Something to observe while the page works: where it is and which part of it tells."""

    selectors: Selectors
    source: str = "src"
    pattern: str | None = None


@dataclass(frozen=True, slots=True)
class Observe:
    """What tells about a running generation; only ``done`` is required."""

    done: Watch
    preview: Watch | None = None
    progress: Watch | None = None
    error: Watch | None = None
    human: Watch | None = None


@dataclass(frozen=True, slots=True)
class Input:
    """One thing besides the prompt that the site accepts."""

    type: str
    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    default: Any = None


@dataclass(frozen=True, slots=True)
class Loras:
    """How to search the site's catalogue of LoRAs and add one; selectors inside an item are relative to it."""

    open: tuple[Step, ...]
    close: tuple[Step, ...]
    query: Selectors
    item: Selectors
    name: Selectors
    add: Selectors
    image: Selectors = ()
    tags: Selectors = ()
    description: Selectors = ()
    settle_ms: int = 150


@dataclass(frozen=True, slots=True)
class Quota:
    """Where the page shows how much of its own quota is used."""

    used: Selectors
    limit: Selectors


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard the site may be driven; 0 means no limit."""

    concurrency: int
    min_interval_s: float
    daily: int


@dataclass(frozen=True, slots=True)
class Consent:
    """Who may run this recipe: ``own`` pages freely, others by their ``terms_url``."""

    ownership: str
    terms_url: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A site, completely described. ``bundle`` names the folder of static files that are served for ``url``."""

    name: str
    title: str
    description: str
    url: str
    steps: tuple[Step, ...]
    observe: Observe
    limits: Limits
    consent: Consent
    bundle: str | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    loras: Loras | None = None
    quota: Quota | None = None

    @cached_property
    def inputs_schema(self) -> Schema:
        """The checks of the declared inputs."""
        return Schema.from_dict({name: _input_field(one) for name, one in self.inputs.items()})()

    def check_inputs(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` (names in either case, values as JSON or as words of a URL) with the recipe's names and types.

        Raises:
            Invalid: an input is unknown here or has a value that is not allowed.
        """
        named = {snake(name): value for name, value in given.items()}
        if unknown := sorted(set(named) - set(self.inputs)):
            accepted = ", ".join(camel(name) for name in self.inputs) or "none"
            raise Invalid(problems=[f"{camel(name)}: {self.name} accepts {accepted}." for name in unknown])
        try:
            checked: dict[str, Any] = self.inputs_schema.load(named)
        except ValidationError as error:
            messages = {camel(str(name)): what for name, what in error.normalized_messages().items()}
            raise Invalid(problems=list(sentences(messages, given))) from error
        return {name: value for name, value in checked.items() if value is not None}


def _input_field(one: Input) -> fields.Field[Any]:
    if one.type in ("integer", "number"):
        kind = WholeNumber if one.type == "integer" else fields.Float
        return kind(allow_none=True, validate=[validate.Range(one.minimum, one.maximum), _multiple_of(one.multiple_of)])
    if one.type == "boolean":
        return fields.Boolean(allow_none=True)
    checks: list[Any] = [validate.Length(max=one.max_length or 4000)]
    if one.choices:
        checks.append(validate.OneOf(one.choices))
    return Text(allow_none=True, validate=checks)


def _multiple_of(unit: int | None) -> Callable[[float], None]:
    def check(value: float) -> None:
        if unit and value % unit:
            raise ValidationError(f"Must be a multiple of {unit}.")

    return check
