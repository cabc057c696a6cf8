"""Traces of OpenTelemetry: spans around the parts of a job's way, off unless its own variables ask for them.

The SDK is imported only if traces are on (``ops.processes.tracing.sdk``). Otherwise ``span`` returns one object that
does nothing, and ``current_traceparent`` returns None.
"""

import importlib
import importlib.util
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from ops.infra.setting_parsers import SettingsError

EXPORTER_VARIABLE = "OTEL_TRACES_EXPORTER"
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SDK_MODULE = "ops.processes.tracing.sdk"


class Span(Protocol):
    """What can be said about a span while it lasts."""

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes."""

    def fail(self, error_type: str) -> None:
        """Mark the span as failed with an error code or the name of a class, which is no secret as texts may be."""


class Tracer(Protocol):
    """Makes spans of one process; see the functions of this module."""

    def span(
        self, name: str, attributes: Mapping[str, Any], *, kind: str, parent: str | None
    ) -> AbstractContextManager[Span]:
        """See ``span``."""

    def record(self, name: str, *, parent: str | None, start_ms: int, end_ms: int) -> None:
        """See ``record_span``."""

    def traceparent(self) -> str | None:
        """See ``current_traceparent``."""


class _NoSpan:
    def set(self, attributes: Mapping[str, Any]) -> None:
        """Do nothing."""

    def fail(self, error_type: str) -> None:
        """Do nothing."""


_NO_SPAN: AbstractContextManager[Span] = nullcontext(_NoSpan())
_tracer: Tracer | None = None


def are_traces_requested(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's variables name an exporter or an endpoint, and do not disable its SDK."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get(EXPORTER_VARIABLE, "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in ENDPOINT_VARIABLES)


def configure_tracing(process: str) -> None:
    """Turn traces on for this process if they are requested; call it after a fork, before other threads are started.

    Raises:
        SettingsError: a variable of OpenTelemetry is invalid, or its packages are not installed.
    """
    if are_traces_requested():
        if importlib.util.find_spec("opentelemetry") is None:
            raise SettingsError(
                "OTEL_…: traces are requested, but OpenTelemetry is not installed; install the packages of "
                "requirements-telemetry.txt, or unset its variables."
            )
        use_tracer(importlib.import_module(SDK_MODULE).make_tracer(process))


def use_tracer(tracer: Tracer | None) -> None:
    """Make spans with ``tracer`` from now on; with None, make none."""
    global _tracer  # noqa: PLW0603 - one tracer per process, as one log
    _tracer = tracer


def is_tracing() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def span(
    name: str, attributes: Mapping[str, Any] | None = None, *, kind: str = "internal", parent: str | None = None
) -> AbstractContextManager[Span]:
    """Return a context manager that makes a span, the parent of spans inside of it.

    ``kind`` is one of OpenTelemetry. ``parent`` is a traceparent (W3C); without one, the span around it is the parent.
    An exception marks the span as failed with its code or class. Attributes with the value None are left out.
    """
    if _tracer is None:
        return _NO_SPAN
    return _tracer.span(name, attributes or {}, kind=kind, parent=parent)


def record_span(name: str, *, parent: str | None, start_ms: int, end_ms: int) -> None:
    """Record a span that is over; times are Unix milliseconds."""
    if _tracer is not None:
        _tracer.record(name, parent=parent, start_ms=start_ms, end_ms=end_ms)


def current_traceparent() -> str | None:
    """Return the traceparent (W3C) of the present span; None without one."""
    return None if _tracer is None else _tracer.traceparent()
