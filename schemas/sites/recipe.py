"""What a recipe is: the frozen description of a page that a driver can run, and of the inputs it accepts."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import Text, WholeNumber, flatten_errors, to_camel_case, to_snake_case
from schemas.sites.observe import ObserveSpec, Selectors

DEFAULT_STEP_TIMEOUT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One action on the page, in the vocabulary of the Chrome DevTools Recorder.

    ``selectors`` are alternatives, tried in order; ``when`` names the input without which the step is left out;
    ``document`` names the document that an ``upload`` hands over; ``settle_ms`` is the time the page is given after the
    step; ``submits`` marks the step that hands the prompt to the page.
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
    document: str = ""
    settle_ms: int = 0
    submits: bool = False


@dataclass(frozen=True, slots=True)
class CaptureSpec:
    """Where the finished pictures are.

    ``shown``: in the elements ``selectors`` (those of ``observe.done`` when left out), only the first of them unless
    ``many``. ``download``: in the files that the page hands out while ``steps`` are played.
    """

    source: str = "shown"
    selectors: Selectors = ()
    many: bool = False
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class ChoicesSpec:
    """Where the page itself lists what an input may be: ``open`` plays until the ``item`` elements are there."""

    item: Selectors
    open: tuple[Step, ...] = ()
    close: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSpec:
    """A JSON document that the page is given: ``content``, with the values of ``fields`` put in by their paths.

    A node may be named by its id or by its title (``_meta.title``), as in ``Positive prompt.inputs.text``.
    """

    content: Any
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One thing besides the prompt that the site accepts; ``random`` draws a number when the caller gives none."""

    type: str
    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    choices_from: ChoicesSpec | None = None
    random: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class LorasSpec:
    """How to search the site's catalogue of LoRAs and add one; selectors inside an item are relative to it.

    With ``syntax``, such as ``<lora:{{lora}}:1>``, a LoRA is added by appending that to the prompt, and no catalogue
    is needed for it. ``remove`` is pressed on the page until no LoRA is chosen any more.
    """

    open: tuple[Step, ...] = ()
    close: tuple[Step, ...] = ()
    query: Selectors = ()
    item: Selectors = ()
    name: Selectors = ()
    add: Selectors = ()
    remove: Selectors = ()
    syntax: str = ""
    image: Selectors = ()
    tags: Selectors = ()
    description: Selectors = ()
    settle_ms: int = 150


@dataclass(frozen=True, slots=True)
class QuotaSpec:
    """Where the page shows how much of its own quota is used."""

    used: Selectors
    limit: Selectors


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """That the site knows people by a login, and how one sees that somebody is signed in."""

    required: bool = False
    login_url: str | None = None
    signed_in: Selectors = ()


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """A tiny job that is run by the clock, to find out early that a page has changed."""

    every_s: int
    prompt: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestedSpec:
    """What the recipe was run against: ``with_`` in words; ``real`` if that was the program or site itself."""

    with_: str
    real: bool


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """How hard the site may be driven; 0 means no limit."""

    concurrency: int = 1
    min_interval_s: float = 1.0
    daily: int = 0


@dataclass(frozen=True, slots=True)
class ConsentSpec:
    """Who may run this recipe: ``own`` pages freely, others by their ``terms_url``."""

    ownership: str
    terms_url: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A site, completely described.

    ``bundle`` names the folder of static files that are served for ``url``; ``hosts`` are private hosts besides its
    own that the page may reach.
    """

    name: str
    title: str
    description: str
    url: str
    steps: tuple[Step, ...]
    observe: ObserveSpec
    consent: ConsentSpec
    limits: SiteLimits = field(default_factory=SiteLimits)
    capture: CaptureSpec = field(default_factory=CaptureSpec)
    tested: TestedSpec | None = None
    bundle: str | None = None
    hosts: tuple[str, ...] = ()
    documents: Mapping[str, DocumentSpec] = field(default_factory=dict)
    session: SessionSpec = field(default_factory=SessionSpec)
    canary: CanarySpec | None = None
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    loras: LorasSpec | None = None
    quota: QuotaSpec | None = None

    @property
    def own_hosts(self) -> frozenset[str]:
        """The hosts that its page may reach although they are private."""
        return frozenset([urlsplit(self.url).hostname or "", *self.hosts])

    @property
    def direct_hosts(self) -> tuple[str, ...]:
        """What of that it reaches past the gate, as browsers write it.

        A site of somebody else's has a name that may mean any address tomorrow: it goes through the gate, unless it is
        private by its very name.
        """
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        listed = tuple(_bracketed(one) for one in self.hosts)
        fixed = "." not in host or ":" in host or host.replace(".", "").isdigit()
        return (f"{_bracketed(host)}:{port}", *listed) if self.consent.ownership == "own" or fixed else listed

    @cached_property
    def inputs_schema(self) -> Schema:
        """The checks of the declared inputs."""
        return Schema.from_dict({name: _input_field(one) for name, one in self.inputs.items()})()

    def validate_inputs(self, raw_inputs: Mapping[str, Any]) -> dict[str, Any]:
        """``given`` (names in either case, values as JSON or as words of a URL) with the recipe's names and types.

        Raises:
            Invalid: an input is unknown here or has a value that is not allowed.
        """
        named = {to_snake_case(name): value for name, value in raw_inputs.items()}
        if unknown := sorted(set(named) - set(self.inputs)):
            accepted = ", ".join(to_camel_case(name) for name in self.inputs) or "none"
            raise Invalid(problems=[f"{to_camel_case(name)}: {self.name} accepts {accepted}." for name in unknown])
        try:
            checked: dict[str, Any] = self.inputs_schema.load(named)
        except ValidationError as error:
            messages = {to_camel_case(str(name)): what for name, what in error.normalized_messages().items()}
            raise Invalid(problems=list(flatten_errors(messages, raw_inputs))) from error
        wanted = {name: value for name, value in checked.items() if value is not None}
        return self._drawn() | wanted

    def require_lora_support(self, lora: str | None) -> None:
        """See that a LoRA that is asked for can be added.

        Raises:
            Invalid: this site has none.
        """
        if lora and self.loras is None:
            raise Invalid(problems=[f"lora: {self.name} takes no LoRA."])

    def _drawn(self) -> dict[str, int]:
        """A number for each input that wants one: so the job's record says which it was."""
        bounds = {name: (one.minimum, one.maximum) for name, one in self.inputs.items() if one.random}
        return {name: random.randint(int(low or 0), int(high or 0)) for name, (low, high) in bounds.items()}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _input_field(one: InputSpec) -> fields.Field[Any]:
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
