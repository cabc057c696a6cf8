"""OpenTelemetry: one trace from the request to the delivery, and nothing of it unless it is asked for."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ops.infra.settings import ROOT, Settings
from ops.processes.tracing import use_tracer
from ops.processes.tracing.sdk import SdkTracer
from stores import Stores
from tests.conftest import eventually
from tests.integration.conftest import QUICK_INPUTS, AppClient, close_app, open_app
from tests.support.webhook_receiver import WebhookReceiver, run_receiver
from workers.browsers.launchers import local_browser
from workers.browsers.pool import BrowserPool, BrowserPoolConfig
from workers.jobs.attempt_registry import AttemptRegistry
from workers.jobs.heartbeat import Heartbeat
from workers.jobs.runner import Runner
from workers.webhooks.dispatcher import WebhookDispatcher

TRACE_ID, CLIENT_SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{CLIENT_SPAN_ID}-01"
PROMPT = "a very private lighthouse"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """The spans that are made while a test runs."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    use_tracer(SdkTracer(provider))
    yield memory
    use_tracer(None)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver of webhooks."""
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture
def app(
    settings: Settings, exporter: InMemorySpanExporter, receiver: WebhookReceiver, tmp_path: Path
) -> Iterator[AppClient]:
    """An app that makes spans and may call the receiver."""
    changes = {"egress_allow": (f"127.0.0.1:{receiver.port}",), "liveness_file": tmp_path / "alive"}
    client = open_app(replace(settings, **changes))
    yield client
    close_app(client)


async def work(stores: Stores) -> None:
    """Run one attempt in a real browser, and send a heartbeat."""
    pool = BrowserPool(BrowserPoolConfig.from_settings(stores.settings, local_browser(stores.settings), slots=1))
    attempts = AttemptRegistry(stores.attempts)
    await pool.start()
    try:
        await Heartbeat(stores, pool, attempts, "w1", 1).send()
        await Runner(stores, pool, attempts, "w1").run()
    finally:
        await pool.stop()


def deliver(stores: Stores, receiver: WebhookReceiver) -> None:
    """Run a dispatcher until something is delivered."""
    dispatcher = WebhookDispatcher(stores)
    dispatcher.start()
    try:
        eventually(lambda: receiver.requests)
    finally:
        dispatcher.stop()


def test_one_trace_has_the_whole_way_of_a_job(
    app: AppClient, exporter: InMemorySpanExporter, receiver: WebhookReceiver
) -> None:
    """Request, queue, claim, each step, capture and delivery are in the trace of the client, without the prompt."""
    body = {"prompt": PROMPT, "inputs": QUICK_INPUTS, "webhook": receiver.url()}
    job_id = app.post("/api/v1/jobs", json=body, headers={"traceparent": TRACEPARENT}).json["id"]
    asyncio.run(work(app.stores))
    alive = app.stores.settings.liveness_file
    assert alive
    # The heartbeat has touched it; the event loop that delivers has to do so too.
    alive.unlink()
    deliver(app.stores, receiver)
    assert alive.exists()

    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {context_of(span) for span in spans.values()} == {TRACE_ID}
    request, attempt, delivery = spans["POST /api/v1/jobs"], spans["job.attempt"], spans["webhook.deliver"]
    assert parent_of(request) == CLIENT_SPAN_ID
    for name in ("job.queue", "job.claim", "job.attempt", "webhook.deliver"):
        assert parent_of(spans[name]) == id_of(request), name
    parts = ("browser.context", "page.open", "page.submit", "page.watch", "result.store")
    assert {parent_of(spans[name]) for name in parts} == {id_of(attempt)}
    assert parent_of(spans["page.capture"]) == id_of(spans["page.watch"])
    recipe = app.stores.recipes.get("studio")
    steps = [span for span in exporter.get_finished_spans() if span.name.startswith("step ")]
    assert len(steps) == len(recipe.steps)
    assert {parent_of(step) for step in steps} == {id_of(spans["page.open"]), id_of(spans["page.submit"])}
    assert (attempt.attributes or {})["darkroom.job.id"] == job_id
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.values())
    assert receiver.requests[0].headers["traceparent"] == f"00-{TRACE_ID}-{id_of(delivery)}-01"
    assert PROMPT not in "".join(span.to_json() for span in spans.values())


def test_failures_are_marked_without_their_words(
    app: AppClient, exporter: InMemorySpanExporter, receiver: WebhookReceiver
) -> None:
    """A failed attempt has its error code; a job without a trace begins one with its attempt."""
    use_tracer(None)
    app.post("/api/v1/jobs", json={"prompt": PROMPT, "lora": "nothing of this kind"})
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    use_tracer(SdkTracer(provider))
    asyncio.run(work(app.stores))

    spans = {span.name: span for span in exporter.get_finished_spans()}
    attempt = spans["job.attempt"]
    assert attempt.parent is None
    assert (attempt.attributes or {})["error.type"] == "lora_not_found"
    assert attempt.status.status_code is StatusCode.ERROR
    assert parent_of(spans["job.queue"]) == id_of(attempt)
    assert "nothing of this kind" not in "".join(span.to_json() for span in spans.values())


def test_an_invalid_traceparent_is_ignored(app: AppClient, exporter: InMemorySpanExporter) -> None:
    """It neither fails the request nor gets into the trace; polls make no spans."""
    for value in ("00-0-0-01", "x" * 5000, f"00-{'0' * 32}-{CLIENT_SPAN_ID}-01"):
        assert app.get("/api/v1/jobs", headers={"traceparent": value}).status_code == 200
    app.get("/health/live")

    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["GET /api/v1/jobs"] * 3
    assert [span.parent for span in spans] == [None] * 3


def test_without_its_variables_no_exporter_is_loaded() -> None:
    """No process imports the exporters then; redis-py imports a part of the SDK wherever it is installed."""
    script = (
        "import sys, api, workers.main\nfrom ops.processes.tracing import configure_tracing, span\n"
        "configure_tracing('web')\nassert span('a') is span('b')\n"
        "print([name for name in sys.modules if 'tracing.sdk' in name or 'opentelemetry.exporter' in name])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.strip() == "[]", done.stderr


def context_of(span: ReadableSpan) -> str:
    """The id of the span's trace."""
    assert span.context
    return f"{span.context.trace_id:032x}"


def id_of(span: ReadableSpan) -> str:
    """The id of the span."""
    assert span.context
    return f"{span.context.span_id:016x}"


def parent_of(span: ReadableSpan) -> str:
    """The id of the span's parent."""
    assert span.parent
    return f"{span.parent.span_id:016x}"
