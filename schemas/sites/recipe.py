"""A recipe: the description of a site's page, complete enough for the driver to operate it."""

import hashlib
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from marshmallow import Schema, ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import MAX_PROBLEMS, Text, WholeNumber, flatten_errors, to_camel_case, to_snake_case
from schemas.http.urls import bracket_host, host_and_port
from schemas.images.input_images import ImageSourceField
from schemas.sites.observe import ObserveSpec, Selectors

DEFAULT_STEP_TIMEOUT_MS = 10_000
DEFAULT_MAX_LENGTH = 4000


@dataclass(frozen=True, slots=True)
class Step:
    """One action on the page, in the vocabulary of the Chrome DevTools Recorder.

    ``selectors`` are alternatives, tried in order. ``when`` names the input without which the step is skipped.
    ``document`` names the document that an ``upload`` sends, ``image`` the image input; with ``url``, the picture is
    posted there in the form field ``field``, and the input's placeholder becomes the value at the path ``answer`` of
    the JSON response. ``reveals`` are elements that an ``open`` makes visible. ``settle_ms`` is a pause after the step.
    ``submits`` marks the step that submits the prompt to the page.
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
    image: str = ""
    field: str = "image"
    answer: str = "name"
    reveals: Selectors = ()
    settle_ms: int = 0
    submits: bool = False


@dataclass(frozen=True, slots=True)
class CaptureSpec:
    """Where the finished pictures are.

    ``shown``: in the elements ``selectors`` (default: those of ``observe.done``), only the first of them unless
    ``many``. ``download``: in the files that the page offers while ``steps`` run.
    """

    source: str = "shown"
    selectors: Selectors = ()
    many: bool = False
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class ChoicesSpec:
    """Where the page lists the values of an input: the ``item`` elements, visible after the steps ``open``."""

    item: Selectors
    open: tuple[Step, ...] = ()
    close: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentSpec:
    """A JSON document for the page: ``content``, with templates that ``fields`` place at paths.

    The first part of a path may be a node's id or its title (``_meta.title``), as in ``Positive prompt.inputs.text``.
    """

    content: Any
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input besides the prompt; ``random`` draws a whole number if the caller sends none.

    An image input accepts the media types ``accept`` (none means every known one), and must have the size of the
    picture of the image input ``same_size_as``.
    """

    type: str
    label: str = ""
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    choices_from: ChoicesSpec | None = None
    random: bool = False
    required: bool = False
    accept: tuple[str, ...] = ()
    same_size_as: str = ""
    default: Any = None


@dataclass(frozen=True, slots=True)
class LorasSpec:
    """How to search the site's LoRA catalogue and add an entry; selectors inside an item are relative to it.

    With ``syntax``, such as ``<lora:{{lora}}:1>``, a LoRA is added by appending that to the prompt, without a
    catalogue. ``remove`` is clicked until no LoRA is selected.
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
    """The elements that show the use of the page's own quota."""

    used: Selectors
    limit: Selectors


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """The login of the site, and the element that only a signed-in user sees."""

    required: bool = False
    login_url: str | None = None
    signed_in: Selectors = ()


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A request that stops the program; ``body`` is JSON text, empty for none."""

    url: str
    method: str = "POST"
    body: str = ""


@dataclass(frozen=True, slots=True)
class CancelSpec:
    """How the program behind the page is stopped when an attempt ends without a result.

    ``steps`` and ``requests`` stop what the program works on, so they are used only while it works on this job.
    ``waiting_steps`` and ``waiting_requests`` remove a job that still waits in the program's queue. ``{{id}}`` in a
    request is the value at the path ``id`` of the answer to the page's own request whose path ends with ``id_url``.
    """

    steps: tuple[Step, ...] = ()
    requests: tuple[CancelRequest, ...] = ()
    waiting_steps: tuple[Step, ...] = ()
    waiting_requests: tuple[CancelRequest, ...] = ()
    id_url: str = ""
    id: str = ""
    unstoppable: bool = False


@dataclass(frozen=True, slots=True)
class CanarySpec:
    """A small scheduled job that detects changes of the page."""

    every_s: int
    prompt: str
    inputs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TestedProgram:
    """A program with the versions that the recipe was run against; ``stand_in`` says what took its place, if it did."""

    name: str
    versions: tuple[str, ...]
    stand_in: str = ""

    def __str__(self) -> str:
        """Return one line, which says so if the program was not run itself."""
        line = f"{self.name} {', '.join(self.versions)}"
        return f"{line} (not itself but {self.stand_in})" if self.stand_in else line


@dataclass(frozen=True, slots=True)
class TestedSpec:
    """What the recipe was tested with: a description, whether that was the real program or site, and versions."""

    with_: str
    real: bool
    programs: tuple[TestedProgram, ...] = ()

    def __str__(self) -> str:
        """Return the programs with their versions, or else the description."""
        return "; ".join(map(str, self.programs)) or self.with_


@dataclass(frozen=True, slots=True)
class SiteLimits:
    """Limits of the load on the site; 0 means no limit."""

    concurrency: int = 1
    min_interval_s: float = 1.0
    daily: int = 0


@dataclass(frozen=True, slots=True)
class ConsentSpec:
    """Who may run this recipe: anyone for an ``own`` page, otherwise those who accept the terms at ``terms_url``."""

    ownership: str
    terms_url: str | None = None


@dataclass(frozen=True)
class Recipe:
    """The complete description of a site.

    ``bundle`` names a folder of static files that are served for ``url``; ``hosts`` are further private hosts that the
    page may reach; a ``deterministic`` page makes the same picture of the same inputs.
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
    cancel: CancelSpec | None = None
    tested: TestedSpec | None = None
    bundle: str | None = None
    hosts: tuple[str, ...] = ()
    documents: Mapping[str, DocumentSpec] = field(default_factory=dict)
    session: SessionSpec = field(default_factory=SessionSpec)
    canary: CanarySpec | None = None
    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    loras: LorasSpec | None = None
    quota: QuotaSpec | None = None
    deterministic: bool = False

    @cached_property
    def version(self) -> str:
        """A digest of the recipe: two recipes with the same version request pictures from a page in the same way.

        The URL is not part of it: the same program may answer elsewhere.
        """
        content = asdict(self, dict_factory=_without_defaults)
        for name in ("url", "title", "description"):
            content.pop(name, None)
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]

    @property
    def own_hosts(self) -> frozenset[str]:
        """The hosts that the page may reach even if they are private."""
        return frozenset([urlsplit(self.url).hostname or "", *self.hosts])

    @property
    def accepts_downloads(self) -> bool:
        """Whether the pictures are downloaded files."""
        return self.capture.source == "download"

    @property
    def direct_hosts(self) -> tuple[str, ...]:
        """The hosts that bypass the egress proxy, in the notation of browsers.

        The host of a foreign site is among them only if it is an IP address or a local name: a public name may resolve
        to any address at any time, so it needs the proxy.
        """
        host = urlsplit(self.url).hostname or ""
        is_fixed = "." not in host or ":" in host or host.replace(".", "").isdigit()
        extra = tuple(bracket_host(extra_host) for extra_host in self.hosts)
        if self.consent.ownership != "own" and not is_fixed:
            return extra
        return (host_and_port(self.url), *extra)

    @cached_property
    def inputs_schema(self) -> Schema:
        """The schema of the declared inputs."""
        return Schema.from_dict({name: _input_field(spec) for name, spec in self.inputs.items()})()

    def validate_inputs(self, raw_inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return inputs with the recipe's names and types, and random numbers where the recipe asks for them.

        Names may be in camel case or snake case; values are JSON or strings of a query.

        Raises:
            Invalid: an input is not declared or has an invalid value.
        """
        named = {to_snake_case(name): value for name, value in raw_inputs.items()}
        if unknown := sorted(set(named) - set(self.inputs)):
            accepted = ", ".join(to_camel_case(name) for name in self.inputs) or "none"
            raise Invalid(
                problems=[f"{to_camel_case(name)}: {self.name} accepts {accepted}." for name in unknown[:MAX_PROBLEMS]]
            )
        try:
            loaded: dict[str, Any] = self.inputs_schema.load(named)
        except ValidationError as error:
            messages = {to_camel_case(str(name)): texts for name, texts in error.normalized_messages().items()}
            raise Invalid(problems=list(flatten_errors(messages, raw_inputs))) from error
        # Drawn here and not on the page, so that the job record states the number.
        drawn = {
            name: random.randint(int(spec.minimum or 0), int(spec.maximum or 0))
            for name, spec in self.inputs.items()
            if spec.random
        }
        return drawn | {name: value for name, value in loaded.items() if value is not None}

    def require_inputs(self, inputs: Mapping[str, Any]) -> None:
        """Raise Invalid if an input that the site cannot do without is missing."""
        missing = [name for name, spec in self.inputs.items() if spec.required and name not in inputs]
        if missing:
            raise Invalid(problems=[f"{to_camel_case(name)}: {self.name} needs this input." for name in missing])

    @property
    def image_inputs(self) -> dict[str, InputSpec]:
        """The inputs that take a picture."""
        return {name: spec for name, spec in self.inputs.items() if spec.type == "image"}

    def require_lora_support(self, lora: str | None) -> None:
        """Raise Invalid if a LoRA is requested and this site has none."""
        if lora and self.loras is None:
            raise Invalid(problems=[f"lora: {self.name} does not support LoRAs."])


def _without_defaults(items: list[tuple[str, Any]]) -> dict[str, Any]:
    """Leave out empty values: a key that recipes get later does not change the versions of those without it."""
    return {name: value for name, value in items if value not in (None, "", (), [], {}, False)}


def _input_field(spec: InputSpec) -> fields.Field[Any]:
    if spec.type in ("integer", "number"):
        field_type = WholeNumber if spec.type == "integer" else fields.Float
        in_range = validate.Range(spec.minimum, spec.maximum)
        return field_type(allow_none=True, validate=[in_range, _multiple_of(spec.multiple_of)])
    if spec.type == "image":
        return ImageSourceField(allow_none=True)
    if spec.type == "boolean":
        return fields.Boolean(allow_none=True)
    checks: list[Any] = [validate.Length(max=spec.max_length or DEFAULT_MAX_LENGTH)]
    if spec.choices:
        checks.append(validate.OneOf(spec.choices))
    return Text(allow_none=True, validate=checks)


def _multiple_of(unit: int | None) -> Callable[[float], None]:
    def check(value: float) -> None:
        if unit and value % unit:
            raise ValidationError(f"Must be a multiple of {unit}.")

    return check
