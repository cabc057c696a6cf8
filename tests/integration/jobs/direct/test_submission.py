"""Submissions are answered without Flask exactly as Flask answers them, and have the same effects."""

import itertools
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from api import create_app
from api.jobs.direct import answers
from api.jobs.direct.submission import MAX_BODY_BYTES, DirectSubmission
from ops.infra.settings import Settings
from ops.processes.tracing import Tracer, use_tracer
from schemas.accounts.caller import Scope, parse_limits
from schemas.errors import Unavailable
from stores import open_stores
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, FakeClock, create_tables
from tests.integration.conftest import AppClient, close_app

STEPS = 150
PATH = "/api/v1/jobs"
JSON = {"Content-Type": "application/json"}
REQUEST_ID = {"X-Request-ID": "request-1"}
CALLERS = {
    "limited": KeyChange(limits=parse_limits("queued=4,daily=9,weekly=20,rate=30/minute"), plan="basic"),
    "without plan": KeyChange(),
    "reader": KeyChange(scopes=frozenset({Scope.READ}), plan="basic"),
}
Response = tuple[str, dict[str, str], bytes]


@dataclass(frozen=True)
class Side:
    """An app whose time stands still and whose ids are numbers, and the keys of its callers."""

    app: AppClient
    keys: dict[str, str]

    def ask_flask(self, headers: dict[str, str], body: bytes) -> Response:
        """Flask's response."""
        response = self.app.client.post(PATH, headers=headers, data=body)
        return response.status, dict(response.headers), response.data

    def ask_directly(self, headers: dict[str, str], body: bytes) -> Response | None:
        """The direct answer; None if the request is left to Flask."""
        answer = self.app.client.application.extensions["direct_answers"]["POST"](
            PATH, [(name.upper(), value) for name, value in headers.items()], body_reader(body)
        )
        return answer and (answer.status, dict(answer.headers), answer.body)

    def state(self) -> list[Any]:
        """What the callers see of their jobs and limits."""
        return [
            self.app.client.get(path, headers={"x-api-key": key} | REQUEST_ID).json
            for key in self.keys.values()
            for path in ("/api/v1/jobs?limit=100", "/api/v1/quota")
        ]


def body_reader(body: bytes) -> Callable[[int], bytes | None]:
    """What the web server gives a direct answer to read a body with."""
    return lambda max_bytes: body if len(body) <= max_bytes else None


@pytest.fixture
def sides(settings: Settings, clock: FakeClock, tmp_path: Path) -> Iterator[tuple[Side, Side]]:
    """Two apps with the same callers, each with databases of its own."""
    opened = [_open_side(settings, clock, tmp_path / str(number), 2 * number) for number in range(2)]
    yield opened[0], opened[1]
    for side in opened:
        close_app(side.app)


def _open_side(settings: Settings, clock: FakeClock, folder: Path, number: int) -> Side:
    folder.mkdir()
    server = settings.redis_url.partition("?")[0]
    own = replace(
        settings,
        data_dir=folder,
        redis_url=f"{server}?db={number}",
        broker_url=f"{server}?db={number + 1}",
        database_url=f"sqlite:///{folder / 'test.sqlite3'}",
        require_subscription=True,
        max_queue_size=25,
        rate_limit_submit="90/minute",
    )
    create_tables(own.database_url)
    stores = open_stores(own, clock=clock)
    numbers = itertools.count(1)
    stores.jobs.create_id = lambda: f"{next(numbers):032x}"  # type: ignore[method-assign] # the same on both sides
    keys = {name: stores.api_keys.create(name, change) for name, change in CALLERS.items()}
    return Side(AppClient(create_app(stores).test_client(), stores), keys | {"owner": API_KEY, "nobody": "wrong"})


class RandomRequests:
    """Requests of which about half are what a client would send."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def caller(self) -> str:
        """The name of a caller."""
        return self._random.choices(("owner", "limited", "without plan", "reader", "nobody"), (6, 6, 1, 1, 1))[0]

    def headers(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """The header fields of the same request with each of the keys."""
        choose = self._random.choice
        name, form = choose((("x-api-key", "%s"), ("Authorization", "Bearer %s"), ("Authorization", "%s")))
        media_type = self._random.choices(
            ("application/json", "Application/JSON; charset=utf-8", "text/plain", "application/problem+json"),
            (12, 2, 1, 1),
        )[0]
        key_of_request = self._random.choices((None, choose(("a", "b", "c")), "two words"), (6, 4, 1))[0]
        common = {
            **REQUEST_ID,
            "Content-Type": media_type,
            **({"Idempotency-Key": key_of_request} if key_of_request else {}),
            **({"Cookie": "darkroom_session=x"} if self._random.random() < 0.1 else {}),
        }
        return [{name: form % key, **common} for key in keys]

    def body(self) -> bytes:
        """A body, most of them with at most one mistake."""
        fields = self._fields()
        if self._random.random() < 0.3:
            fields |= self._random.choice(MISTAKES)
        text = json.dumps(fields)
        return self._random.choices(
            (text.encode(), text.encode("utf-16"), text[:-1].encode(), b"", b"[1]", b"[" * 9000, b'"\xff"'),
            (20, 1, 1, 1, 1, 1, 1),
        )[0]

    def _fields(self) -> dict[str, Any]:
        choose = self._random.choice
        optional = {
            "site": "studio",
            "inputs": choose(({"seed": 7}, {}, {"seed": "8", "width": 256}, {"seed": None})),
            "priority": choose((0, 10, "-3", 2.0)),
            "webhook": choose((None, "")),
            "lora": choose((None, "Ukiyo-e")),
        }
        names = self._random.sample(sorted(optional), self._random.randint(0, 3))
        prompt = choose(("a quiet lake", "  a lake \n at dawn ", "\u00e9t\u00e9 \u2603", "x" * 4000))
        return {"prompt": prompt, **{name: optional[name] for name in names}}


MISTAKES: tuple[dict[str, Any], ...] = (
    {"prompt": ""},
    {"prompt": None},
    {"prompt": 3},
    {"prompt": "a\u0000b"},
    {"prompt": "\ud800"},
    {"prompt": "x" * 4001},
    {"site": "nowhere"},
    {"site": None},
    {"inputs": {"unknown": 1}},
    {"inputs": {"seed": "many", "width": 10**30}},
    {"inputs": {"width": 257}},
    {"inputs": []},
    {"priority": 11},
    {"priority": 1.5},
    {"webhook": "ftp://127.0.0.1/x"},
    {"more": True},
)


@pytest.mark.parametrize("seed", range(2))
def test_both_ways_give_the_same_responses_and_have_the_same_effects(
    sides: tuple[Side, Side], clock: FakeClock, seed: int
) -> None:
    """Random requests of several callers go to one app as the web server sends them, to the other through Flask."""
    requests, choice = RandomRequests(seed), random.Random(seed)
    statuses: list[str] = []
    for step in range(STEPS):
        caller, body = requests.caller(), requests.body()
        headers = requests.headers([side.keys[caller] for side in sides])
        random.seed(step)
        answer = sides[0].ask_directly(headers[0], body)
        statuses += [answer[0][:3]] if answer else []
        answer = answer or sides[0].ask_flask(headers[0], body)
        random.seed(step)
        assert answer == sides[1].ask_flask(headers[1], body)
        if choice.random() < 0.1:
            clock.advance(choice.choice((1, 61, 90_000)))
            for side in sides:
                side.app.stores.jobs.cancel_all("owner")
    assert sides[0].state() == sides[1].state()
    assert len(statuses) > STEPS / 4
    assert {"202", "400", "402", "422", "429"} <= set(statuses)


def test_unusual_requests_are_left_to_flask(sides: tuple[Side, Side]) -> None:
    """Pictures and other large bodies, webhooks, forms, sessions, repeated headers, other paths."""
    side, key = sides[0], ("X-API-KEY", API_KEY)
    answer = side.app.client.application.extensions["direct_answers"]["POST"]
    body, media_type = json.dumps({"prompt": "a quiet lake"}).encode(), ("CONTENT-TYPE", "application/json")

    assert answer(PATH, [key, media_type], body_reader(body))
    assert answer(f"{PATH}/", [key, media_type], body_reader(body)) is None
    assert answer("/generateImage", [key, media_type], body_reader(body)) is None
    assert answer(PATH, [media_type], body_reader(body)) is None
    assert answer(PATH, [key], body_reader(body)) is None
    assert answer(PATH, [key, ("CONTENT-TYPE", "multipart/form-data; boundary=b")], body_reader(body)) is None
    assert answer(PATH, [key, media_type, ("COOKIE", "a=b")], body_reader(body))
    for name in ("X-API-KEY", "CONTENT-TYPE", "IDEMPOTENCY-KEY"):
        repeated = [(name, "x"), (name, "x")]
        assert answer(PATH, [key, media_type, *repeated], body_reader(body)) is None
    assert answer(PATH, [key, media_type], body_reader(body + b" " * MAX_BODY_BYTES)) is None
    hook = json.dumps({"prompt": "a quiet lake", "webhook": "http://127.0.0.1/hook"}).encode()
    assert answer(PATH, [key, media_type], body_reader(hook)) is None


def test_the_body_is_read_once_the_key_is_known(sides: tuple[Side, Side]) -> None:
    """A client without a key cannot make a process wait for a body."""
    reads: list[int] = []
    answer = sides[0].app.client.application.extensions["direct_answers"]["POST"]

    for key in ("wrong", sides[0].keys["reader"]):
        assert answer(PATH, [("X-API-KEY", key), ("CONTENT-TYPE", "application/json")], reads.append) is None
    assert not reads


def test_a_caller_above_its_limit_is_not_asked_for_the_body(sides: tuple[Side, Side], clock: FakeClock) -> None:
    """From its first refusal to the end of the window its requests are left to Flask, which refuses them as well."""
    body = json.dumps({"prompt": "a quiet lake"}).encode()
    directly, by_flask = ({"x-api-key": side.keys["limited"], **JSON, **REQUEST_ID} for side in sides)
    answers = [sides[0].ask_directly(directly, body) for _ in range(31)]
    assert [b"Too many requests" in answer[2] for answer in answers if answer] == [False] * 30 + [True]
    for _ in range(31):
        sides[1].ask_flask(by_flask, body)

    reads: list[int] = []
    headers = [(name.upper(), value) for name, value in directly.items()]
    assert sides[0].app.client.application.extensions["direct_answers"]["POST"](PATH, headers, reads.append) is None
    assert not reads
    assert sides[0].ask_flask(directly, body) == sides[1].ask_flask(by_flask, body)
    clock.advance(60)
    assert sides[0].ask_directly(directly, body) == sides[1].ask_flask(by_flask, body)


def test_an_error_after_the_count_is_answered_once(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis that does not answer, and a fault of the program: nothing is counted or created a second time."""
    body = json.dumps({"prompt": "a quiet lake"}).encode()
    headers = {"x-api-key": API_KEY, **JSON, **REQUEST_ID}
    for error, status in ((Unavailable("Redis does not answer.", retry_after_s=2), "503"), (KeyError("x"), "500")):
        calls: list[str] = []

        def fail(job_id: str, *_: Any, error: Exception = error, calls: list[str] = calls, **__: Any) -> None:
            calls.append(job_id)
            raise error

        for side in sides:
            monkeypatch.setattr(side.app.stores.jobs, "create", fail)
        directly = sides[0].ask_directly(headers, body)
        assert directly
        assert directly[0].startswith(status)
        assert len(calls) == 1
        assert directly == sides[1].ask_flask(headers, body)


def test_requests_that_have_spans_are_left_to_flask(sides: tuple[Side, Side]) -> None:
    """A submission is logged, so it has a span if traces are on."""
    use_tracer(cast(Tracer, object()))
    try:
        answer = DirectSubmission(sides[0].app.client.application).answer
    finally:
        use_tracer(None)

    assert answer(PATH, [("X-API-KEY", API_KEY), ("CONTENT-TYPE", "application/json")], body_reader(b"{}")) is None


def test_direct_submissions_are_logged_and_counted(sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch) -> None:
    """As other requests of their route."""
    side = sides[0]
    name = 'darkroom_http_request_seconds_count{method="POST",route="jobs.create",status="202"}'
    lines: list[tuple[Any, ...]] = []
    monkeypatch.setattr(answers, "log_request", lambda *arguments, **fields: lines.append((*arguments[:3], fields)))

    def counted() -> float:
        text = side.app.client.get("/metrics", headers={"x-api-key": API_KEY}).get_data(as_text=True)
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    before = counted()
    assert side.ask_directly({"x-api-key": API_KEY, **JSON, **REQUEST_ID}, b'{"prompt": "a quiet lake"}')
    assert counted() == before + 1
    assert lines == [("POST", PATH, 202, {"request_id": "request-1"})]
