"""Which variables of OpenTelemetry turn traces on, and how wrong ones are reported."""

import json
import os
import subprocess
import sys

import pytest

from ops.infra.settings import ROOT, SettingsError
from ops.processes.tracing import are_traces_requested, configure_tracing, use_tracer

SCRIPT = """
from ops.processes.tracing import configure_tracing, current_traceparent, record_span, span
configure_tracing("clock")
with span("outer", {"given": 1, "missing": None}) as outer:
    traceparent = current_traceparent()
    with span("inner", parent=traceparent):
        pass
record_span("past", parent=traceparent, start_ms=1_000, end_ms=3_000)
"""


@pytest.mark.parametrize(
    ("environment", "requested"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_traces_are_on_if_an_exporter_or_an_endpoint_is_named(environment: dict[str, str], requested: bool) -> None:
    """They are off by default."""
    assert are_traces_requested(environment) is requested


def test_an_unknown_exporter_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and the installed exporters."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "pigeon")
    try:
        with pytest.raises(SettingsError, match=r"OTEL_TRACES_EXPORTER: there is no exporter 'pigeon'.*console.*otlp"):
            configure_tracing("web")
    finally:
        use_tracer(None)


def test_missing_packages_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which lock file has them."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"requirements-telemetry\.txt"):
        configure_tracing("web")


def test_spans_are_exported_by_the_end_of_the_process() -> None:
    """The console exporter prints them, with the service's name, and a parent only where one is given."""
    environment = {**os.environ, "OTEL_TRACES_EXPORTER": "console", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    spans, rest, decoder = {}, done.stdout.strip(), json.JSONDecoder()
    while rest:
        span, end = decoder.raw_decode(rest)
        spans[span["name"]], rest = span, rest[end:].strip()

    assert set(spans) == {"outer", "inner", "past"}
    outer = spans["outer"]
    assert outer["attributes"] == {"given": 1}
    assert outer["parent_id"] is None
    assert spans["inner"]["parent_id"] == spans["past"]["parent_id"] == outer["context"]["span_id"]
    assert spans["past"]["start_time"].startswith("1970-01-01T00:00:01")
    assert outer["resource"]["attributes"]["service.name"] == "darkroom-clock"
