"""Status requests are answered without Flask exactly as Flask answers them, and never with an older state."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import pytest

from api import create_app
from api.http.route_policy import RateLimit
from api.jobs.direct.status import DirectStatus
from ops.infra.settings import Settings
from ops.processes.tracing import Tracer, use_tracer
from schemas.errors import BrowserLost, QueueWaitExceeded, SiteRefused, Unavailable
from schemas.jobs.job import Job, JobRequest, Progress
from stores import open_stores
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, FakeClock, create_tables, eventually
from tests.integration.conftest import IMAGE, AppClient, close_app

STEPS = 120
OWNERS = ("owner", "bob")
REQUEST_ID = "request-1"
RATE = "3000/minute"
FEW = 5
# What a request with a count differs in from the one before it.
COUNTED = ("RateLimit", "X-RateLimit-Remaining")


@pytest.fixture
def frozen(settings: Settings, clock: FakeClock) -> Iterator[AppClient]:
    """An app whose time stands still."""
    create_tables(settings.database_url)
    stores = open_stores(replace(settings, rate_limit_status=RATE), clock=clock)
    app = AppClient(create_app(stores).test_client(), stores)
    yield app
    close_app(app)


def ask_flask(app: AppClient, path: str, headers: dict[str, str]) -> tuple[str, dict[str, str], bytes]:
    """The status, header fields and body of Flask's response."""
    response = app.client.get(path, headers=headers)
    return response.status, _uncounted(dict(response.headers)), response.data


def ask_directly(app: AppClient, path: str, headers: dict[str, str]) -> tuple[str, dict[str, str], bytes] | None:
    """The same of the direct answer; None if the request is left to Flask."""
    answer = app.client.application.extensions["direct_answers"]["GET"](
        path, [(name.upper(), value) for name, value in headers.items()]
    )
    return answer and (answer.status, _uncounted(dict(answer.headers)), answer.body)


def _uncounted(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in COUNTED}


class RandomHistory:
    """Jobs of two owners, to which anything may happen at any time."""

    def __init__(self, app: AppClient, clock: FakeClock, seed: int) -> None:
        self._app, self._clock, self._random = app, clock, random.Random(seed)
        self._running: list[Job] = []
        self.ids: list[str] = []

    def step(self) -> None:
        """Do one thing that some process might do."""
        actions: list[tuple[int, Callable[[], Any]]] = [
            (3, self._submit),
            (3, self._claim),
            (4, lambda: self._with_running(self._report)),
            (2, lambda: self._with_running(self._end)),
            (1, lambda: self._app.stores.jobs.cancel(self._random.choice(self.ids)) if self.ids else None),
            (2, lambda: self._clock.advance(self._random.choice((0.01, 1.2, 31)))),
            (2, self._sweep),
            (1, lambda: self._app.stores.circuit_breakers.close("studio")),
            (1, self._cut_subscriptions),
        ]
        self._random.choices([action for _, action in actions], [weight for weight, _ in actions])[0]()

    def _submit(self) -> None:
        job_id = f"{self._random.getrandbits(128):032x}"
        request = JobRequest(
            "studio", f"a lake, {len(self.ids)}", inputs={"seed": 7}, priority=self._random.randint(0, 2)
        )
        self._app.stores.jobs.create(job_id, self._random.choice(OWNERS), request, "r")
        self.ids.append(job_id)

    def _claim(self) -> None:
        if job := self._app.stores.attempts.claim("w1"):
            self._running.append(job)

    def _with_running(self, act: Callable[[Job], None]) -> None:
        if self._running:
            job = self._random.choice(self._running)
            try:
                act(job)
            except Exception:  # noqa: BLE001 - the attempt has lost the job meanwhile, or does things out of order
                self._running.remove(job)

    def _report(self, job: Job) -> None:
        attempts = self._app.stores.attempts
        attempts.mark_accepted(job)
        step = self._random.randint(1, 20)
        self._random.choice(
            (
                lambda: attempts.record_progress(job, Progress(5.0 * step, step, 20)),
                lambda: attempts.record_preview(job, b"j"),
            )
        )()

    def _end(self, job: Job) -> None:
        attempts = self._app.stores.attempts
        kind = self._random.choice(("complete", "fail", "retry", "release"))
        if kind == "complete":
            attempts.mark_accepted(job)
            keys = attempts.store_images(job, [IMAGE], b"jpeg bytes")
            attempts.complete(job, [IMAGE], keys)
        elif kind == "fail":
            attempts.fail(job, SiteRefused("Not here."))
        elif kind == "retry":
            attempts.retry(job, BrowserLost(), 2_000)
        else:
            attempts.release(job, BrowserLost())
        self._running.remove(job)

    def _sweep(self) -> None:
        stores = self._app.stores
        stores.maintenance.publish_capacity(self._random.randint(0, 4))
        stores.wakeups.top_up()
        stores.maintenance.sweep(leases=True, heartbeats=False, max_wait_s=3600, error=QueueWaitExceeded())

    def _cut_subscriptions(self) -> None:
        """Either go on while the subscription is lost, or wait until it is back."""
        notifier, is_gone_for_long = self._app.stores.notifier, self._random.random() < 0.3
        self._app.stores.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        if notifier._started and not is_gone_for_long:
            eventually(lambda: notifier.catch_up(0.1))


@pytest.mark.parametrize("seed", range(4))
def test_both_ways_give_the_same_response(frozen: AppClient, clock: FakeClock, seed: int) -> None:
    """Whatever happens to the jobs, and while the subscription is lost, restored and lost again."""
    history, reads = RandomHistory(frozen, clock, seed), count_reads(frozen)
    key, choice = {"x-api-key": API_KEY, "X-Request-ID": REQUEST_ID}, random.Random(seed)
    answered = read = 0

    def ask_both(path: str, headers: dict[str, str]) -> tuple[Any, Any]:
        nonlocal read
        before = len(reads)
        directly = ask_directly(frozen, path, headers)
        read += len(reads) - before
        return directly, ask_flask(frozen, path, headers)

    for _ in range(STEPS):
        history.step()
        for job_id in choice.sample(history.ids, min(3, len(history.ids))):
            path = choice.choice((f"/status/{job_id}", f"/api/v1/jobs/{job_id}"))
            for _ in range(3):
                directly, by_flask = ask_both(path, key)
                if directly is None:
                    # Another owner's job, or one that has expired.
                    assert by_flask[0].startswith(("404", "410"))
                    break
                assert directly == by_flask
                directly, by_flask = ask_both(path, key | {"If-None-Match": directly[1]["ETag"]})
                assert directly == by_flask
                answered += 2
    assert answered > STEPS
    # Six answers to each question: most of them come from a copy, although something happens before each.
    assert read < answered / 2


def count_reads(app: AppClient) -> list[str]:
    """The ids of the jobs that are read from Redis from now on."""
    reads: list[str] = []
    original = app.stores.jobs.get_with_estimate

    def get_with_estimate(job_id: str) -> Any:
        reads.append(job_id)
        return original(job_id)

    app.stores.jobs.get_with_estimate = get_with_estimate  # type: ignore[method-assign] # counts
    return reads


def test_unusual_requests_are_left_to_flask(frozen: AppClient) -> None:
    """No key, a wrong one, one of another caller, a session, a repeated header, another path."""
    job_id = frozen.submit()
    path, key = f"/status/{job_id}", {"x-api-key": API_KEY}
    other = frozen.stores.api_keys.create("other")
    answer = frozen.client.application.extensions["direct_answers"]["GET"]

    assert ask_directly(frozen, path, key)
    assert ask_directly(frozen, path, {"Authorization": f"Bearer {API_KEY}"})
    for headers in (
        {},
        {"x-api-key": "wrong"},
        {"x-api-key": other},
        {"x-api-key": "k" * 2000},
        {"Cookie": "darkroom_session=x"},
    ):
        assert ask_directly(frozen, path, headers) is None
    for url in (f"{path}/", f"/status/{'0' * 32}", "/status/x", f"/api/v1/jobs/{job_id}/events", f"{path}\n"):
        assert ask_directly(frozen, url, key) is None
    assert answer(path, [("X-API-KEY", API_KEY), ("X-API-KEY", API_KEY)]) is None


def test_a_revoked_key_is_refused_at_once(frozen: AppClient) -> None:
    """Keys are checked for each direct answer as for any other request."""
    key = frozen.stores.api_keys.create("bob", KeyChange())
    response = frozen.client.post("/api/v1/jobs", json={"prompt": "a quiet lake"}, headers={"x-api-key": key})
    path = f"/status/{response.json['id']}"  # type: ignore[index] # a JSON object

    assert ask_directly(frozen, path, {"x-api-key": key})
    frozen.stores.api_keys.revoke(key.split("_")[1])
    assert ask_directly(frozen, path, {"x-api-key": key}) is None


def test_the_rate_limit_counts_both_ways(frozen: AppClient, clock: FakeClock) -> None:
    """The counts go on from one to the other; the request above the limit is answered by Flask, without a read."""
    path, key = f"/status/{frozen.submit()}", {"x-api-key": API_KEY}
    answer = frozen.client.application.extensions["direct_answers"]["GET"]
    limit = frozen.stores.rate_limits.defaults.status.limit
    for _ in range(limit - FEW):
        frozen.stores.rate_limits.hit_local(RateLimit.STATUS, frozen.stores.rate_limits.defaults.status, OWNERS[0])

    first = dict(answer(path, [("X-API-KEY", API_KEY)]).headers)
    second = frozen.client.get(path, headers=key)
    assert int(first["X-RateLimit-Remaining"]) == FEW - 1
    assert int(second.headers["X-RateLimit-Remaining"]) == FEW - 2
    for _ in range(FEW):
        directly = ask_directly(frozen, path, key)
    assert directly is None
    reads = count_reads(frozen)
    assert ask_directly(frozen, path, key) is None
    assert frozen.client.get(path, headers=key).status_code == 429
    assert not reads
    clock.advance(3600)
    assert ask_directly(frozen, path, key)


def test_redis_is_asked_once_if_it_does_not_answer(frozen: AppClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The direct answer reports it as Flask does, which would wait for Redis again."""
    job_id, reads = frozen.submit(), []

    def fail(job_id: str) -> None:
        reads.append(job_id)
        raise Unavailable("Redis does not answer.", retry_after_s=2)

    monkeypatch.setattr(frozen.stores.jobs, "get_with_estimate", fail)
    key = {"x-api-key": API_KEY, "X-Request-ID": REQUEST_ID}
    for path in (f"/status/{job_id}", f"/api/v1/jobs/{job_id}"):
        reads.clear()
        directly = ask_directly(frozen, path, key)
        assert len(reads) == 1
        assert directly
        assert directly[0].startswith("503")
        assert directly == ask_flask(frozen, path, key)


def test_requests_that_have_spans_are_left_to_flask(frozen: AppClient) -> None:
    """Traces have the requests that the log has."""
    job_id, headers = frozen.submit(), [("X-API-KEY", API_KEY)]
    use_tracer(cast(Tracer, object()))
    try:
        answer = DirectStatus(frozen.client.application).answer
    finally:
        use_tracer(None)

    assert answer(f"/api/v1/jobs/{job_id}", headers) is None
    assert answer(f"/status/{job_id}", headers)


def test_direct_answers_are_counted_in_the_metrics(frozen: AppClient) -> None:
    """As requests of the same route."""
    path = f"/status/{frozen.submit()}"

    def counted() -> float:
        lines = frozen.get("/metrics").get_data(as_text=True).splitlines()
        name = 'darkroom_http_request_seconds_count{method="GET",route="weights.status",status="200"}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    before = counted()
    ask_directly(frozen, path, {"x-api-key": API_KEY})
    assert counted() == before + 1


def test_no_copy_is_served_while_the_subscription_is_lost(frozen: AppClient) -> None:
    """Each request reads Redis until the subscription is back."""
    job_id, reads = frozen.submit(), count_reads(frozen)
    path, key = f"/status/{job_id}", {"x-api-key": API_KEY}

    def needs_no_read() -> bool:
        before = len(reads)
        assert ask_directly(frozen, path, key)
        return len(reads) == before

    eventually(needs_no_read)
    listener = frozen.stores.notifier._listener
    frozen.stores.notifier.stop()
    assert not listener.catch_up(0)
    assert not needs_no_read()
    assert not needs_no_read()
