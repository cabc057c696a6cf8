"""Spans by the SDK of OpenTelemetry, configured by its own variables. Imported only if traces are on.

Service name, resource, sampler, batches, exporter and endpoint are OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES,
OTEL_TRACES_SAMPLER, OTEL_BSP_…, OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_…, as in OpenTelemetry's specification.
"""

import atexit
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ops.infra.setting_parsers import SettingsError
from ops.infra.version import VERSION
from ops.processes.tracing import EXPORTER_VARIABLE, Span

EXPORTER_GROUP = "opentelemetry_traces_exporter"
# The specification's name stands for this package's.
EXPORTER_ALIASES = {"otlp": "otlp_proto_http"}
# A collector that does not answer must not delay the end of a process.
SHUTDOWN_TIMEOUT_S = 3.0
NS_PER_MS = 1_000_000

_propagator = TraceContextTextMapPropagator()


class SdkSpan:
    """A span of the SDK."""

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes."""
        self._span.set_attributes(_given(attributes))

    def fail(self, error_type: str) -> None:
        """Mark the span as failed."""
        self._span.set_attribute("error.type", error_type)
        self._span.set_status(Status(StatusCode.ERROR))


class SdkTracer:
    """Makes spans with a provider."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("darkroom", VERSION)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Any], *, kind: str, parent: str | None) -> Iterator[Span]:
        """Make a span; see ``ops.processes.tracing.span``."""
        with self._tracer.start_as_current_span(
            name,
            context=_context(parent),
            kind=SpanKind[kind.upper()],
            attributes=_given(attributes),
            # Texts of errors may quote prompts and pages.
            record_exception=False,
            set_status_on_exception=False,
        ) as inner:
            made = SdkSpan(inner)
            try:
                yield made
            except BaseException as error:
                made.fail(getattr(error, "code", None) or type(error).__name__)
                raise

    def record(self, name: str, *, parent: str | None, start_ms: int, end_ms: int) -> None:
        """Record a span that is over."""
        inner = self._tracer.start_span(name, context=_context(parent), start_time=start_ms * NS_PER_MS)
        inner.end(end_ms * NS_PER_MS)

    def traceparent(self) -> str | None:
        """Return the traceparent of the present span."""
        if not get_current_span().get_span_context().is_valid:
            return None
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get("traceparent")


def make_tracer(process: str) -> SdkTracer:
    """Return a tracer whose spans are exported as OpenTelemetry's variables say.

    Raises:
        SettingsError: the exporter is not known, or a variable is invalid.
    """
    try:
        exporters = _make_exporters()
        resource = Resource.create({"service.version": VERSION, "darkroom.process": process})
        if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": f"darkroom-{process}"}))
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
    except ValueError as error:
        raise SettingsError(f"OTEL_…: OpenTelemetry cannot be configured: {error}") from error
    atexit.register(_shut_down, provider)
    return SdkTracer(provider)


def _make_exporters() -> list[SpanExporter]:
    names = os.environ.get(EXPORTER_VARIABLE, "").lower() or "otlp"
    return [_make_exporter(name.strip()) for name in names.split(",") if name.strip()]


def _make_exporter(name: str) -> SpanExporter:
    found = list(entry_points(group=EXPORTER_GROUP, name=EXPORTER_ALIASES.get(name, name)))
    if not found:
        known = sorted({point.name for point in entry_points(group=EXPORTER_GROUP)} | {"otlp", "none"})
        raise SettingsError(f"{EXPORTER_VARIABLE}: there is no exporter {name!r}; installed are {', '.join(known)}.")
    exporter: SpanExporter = found[0].load()()
    return exporter


def _shut_down(provider: TracerProvider) -> None:
    """Export the remaining spans, for a limited time."""
    thread = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
    thread.start()
    thread.join(SHUTDOWN_TIMEOUT_S)


def _context(traceparent: str | None) -> Context | None:
    """Return the context of a traceparent; None, which means the present one, without or with an invalid one."""
    if not traceparent:
        return None
    context = _propagator.extract({"traceparent": traceparent}, context=Context())
    return context if get_current_span(context).get_span_context().is_valid else None


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
