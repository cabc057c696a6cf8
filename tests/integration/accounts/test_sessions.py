"""Signing in with a browser: the cookie, whose pages may use it, and how a login ends."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import caller
from api.http.error_responses import library_body
from api.http.route_policy import Access, RoutePolicy
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from stores.accounts.api_keys import KeyChange
from tests.conftest import API_KEY, FakeClock
from tests.integration.accounts.test_rate_limits import limited
from tests.integration.conftest import AppClient, close_app, open_app

SESSION = "/api/session"
# Views as the library has them: the same ones below both prefixes.
SHELF, SHELF_BY_KEY = "/api/models/shelf-of-a-test", "/api/v1/models/shelf-of-a-test"
COOKIE = "darkroom_session"
OURS = {"Sec-Fetch-Site": "same-origin"}
NO_KEY = "Missing or invalid Authorization header"


def add_shelf(app: AppClient) -> AppClient:
    """A front with views that read and change something."""
    for name, prefix, access in (
        ("shelf", SHELF, Access.KEY_OR_SESSION),
        ("shelf_by_key", SHELF_BY_KEY, Access.KEY),
        ("shelf_by_either", f"{SHELF_BY_KEY}-or-session", Access.KEY_OR_SESSION),
    ):
        blueprint = Blueprint(name, __name__, access=access, error_format=library_body, url_prefix=prefix)
        blueprint.add_url_rule("", "read", _read)
        methods, policy = ["POST", "PATCH", "PUT", "DELETE"], RoutePolicy(scope=Scope.LIBRARY)
        blueprint.add_url_rule("", "change", _change, methods=methods, policy=policy)
        blueprint.add_url_rule("/public", "public", _public)
        app.client.application.register_blueprint(blueprint)
    return app


def _read() -> Response:
    return jsonify({"caller": caller().id})


def _change() -> Response:
    return jsonify({"caller": caller().id, "changed": True})


def _public() -> Response:
    return Response("picture", headers={"Cache-Control": "public, max-age=60"})


@pytest.fixture
def shelf(app: AppClient) -> AppClient:
    """A front with such views."""
    return add_shelf(app)


@pytest.fixture
def turned(settings: Settings, clock: FakeClock) -> Iterator[AppClient]:
    """Another one, whose time a test sets."""
    with limited(settings, clock) as front:
        yield add_shelf(front)


def sign_in(app: AppClient, key: str = API_KEY) -> str:
    """The token that the client's cookie now has."""
    answer = app.client.post(SESSION, json={"key": key})
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return token_of(app)


def token_of(app: AppClient) -> str:
    """What the client's cookie has."""
    cookie = app.client.get_cookie(COOKIE)
    assert cookie
    return cookie.value


def elsewhere(app: AppClient) -> AppClient:
    """The same front as another browser sees it."""
    return AppClient(app.client.application.test_client(), app.stores)


def answer_of(app: AppClient, token: str, path: str = SHELF) -> int:
    """The status for a token, whatever the client's own cookie is."""
    with app.client.application.test_client(use_cookies=False) as client:
        return client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).status_code


@pytest.mark.parametrize(
    ("url", "secure"), [("http://127.0.0.1:3000", False), ("https://darkroom.example/below", True)]
)
def test_the_cookie_is_for_our_server_alone(settings: Settings, url: str, secure: bool) -> None:
    """No page reads it, no other site's form sends it, it travels encrypted where we are, and lasts for 30 days."""
    front = open_app(replace(settings, public_url=url))
    answer = front.client.post(SESSION, json={"key": API_KEY})
    value, *flags = answer.headers["Set-Cookie"].split("; ")
    close_app(front)

    assert value.startswith(f"{COOKIE}=")
    assert len(value.partition("=")[2]) == 43
    told = {flag for flag in flags if not flag.startswith("Expires=")}
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} == told - {"Secure"}
    assert ("Secure" in flags) is secure
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("form", ["json", "data"])
def test_who_signs_in_is_known_until_they_sign_out(shelf: AppClient, form: str) -> None:
    """By JSON or by a form; signing out twice is no fault."""
    key = shelf.stores.api_keys.create("bob")
    told = shelf.client.post(SESSION, **{form: {"key": key}})
    token = token_of(shelf)
    scopes = ["gallery", "generate", "library", "read"]

    assert told.json == shelf.client.get(SESSION).json == {"name": "bob", "scopes": scopes}
    assert shelf.client.get(SHELF).json == {"caller": key.split("_")[1]}
    out = shelf.client.delete(SESSION, headers=OURS)
    assert out.status_code == 204
    assert "Max-Age=0" in out.headers["Set-Cookie"]
    assert shelf.client.get_cookie(COOKIE) is None
    assert answer_of(shelf, token) == 401
    assert shelf.client.delete(SESSION).status_code == 204
    gone = shelf.client.get(SESSION)
    assert (gone.status_code, gone.json["error"], gone.json["code"]) == (401, NO_KEY, "unauthorized")


def test_the_cookie_is_nothing_below_api_v1(shelf: AppClient) -> None:
    """Whichever check stands before a view; a key is good everywhere."""
    sign_in(shelf)
    by_key = {"Authorization": f"Bearer {API_KEY}"}

    for path in (SHELF_BY_KEY, f"{SHELF_BY_KEY}-or-session", "/api/v1/jobs", "/quota"):
        assert shelf.client.get(path).status_code == 401
        assert shelf.client.get(path, headers=by_key).status_code == 200
    assert shelf.client.post("/api/v1/auth/regenerate", headers=OURS).status_code == 401
    assert shelf.client.post(f"{SHELF_BY_KEY}-or-session", headers=OURS).status_code == 401
    assert shelf.client.get(SHELF, headers=by_key).status_code == 200


def test_a_wrong_key_is_not_covered_by_a_cookie(shelf: AppClient) -> None:
    """Whoever sends a key means it; with a good one the cookie does not count."""
    sign_in(shelf)
    bobs = {"x-api-key": shelf.stores.api_keys.create("bob")}

    assert shelf.client.get(SHELF, headers={"x-api-key": "wrong"}).status_code == 401
    assert shelf.client.get(SHELF, headers=bobs).json["caller"] != "owner"
    assert shelf.client.post(SHELF, headers=bobs).json["changed"]


HERE, SITE, ORIGIN = "http://localhost", "Sec-Fetch-Site", "Origin"
PUBLIC = "http://127.0.0.1:3000"


PAGES: list[tuple[dict[str, str], int]] = [
    ({SITE: "same-origin"}, 200),
    ({SITE: "none"}, 200),
    ({SITE: "same-origin", ORIGIN: HERE}, 200),
    ({SITE: "same-origin", ORIGIN: "https://evil.example"}, 200),
    ({SITE: "cross-site"}, 403),
    ({SITE: "same-site"}, 403),
    ({SITE: ""}, 403),
    ({SITE: "same-origin, cross-site"}, 403),
    ({SITE: "cross-site", ORIGIN: HERE}, 403),
    ({SITE: "same-site", ORIGIN: PUBLIC}, 403),
    ({ORIGIN: PUBLIC}, 200),
    ({ORIGIN: HERE}, 200),
    ({ORIGIN: "http://LOCALHOST:80"}, 200),
    ({ORIGIN: "http://darkroom.lan", "Host": "darkroom.lan"}, 200),
    ({ORIGIN: "http://darkroom.lan:8080", "Host": "darkroom.lan:8080"}, 200),
    ({ORIGIN: "http://darkroom.lan:8080", "Host": "darkroom.lan"}, 403),
    ({ORIGIN: "http://darkroom.lan", "X-Forwarded-Host": "darkroom.lan"}, 403),
    ({ORIGIN: "https://localhost"}, 403),
    ({ORIGIN: "http://localhost:8000"}, 403),
    ({ORIGIN: "http://localhost.evil.example"}, 403),
    ({ORIGIN: "http://evil.example"}, 403),
    ({ORIGIN: "http://localhost@evil.example"}, 403),
    ({ORIGIN: "null"}, 403),
    ({ORIGIN: ""}, 403),
    ({ORIGIN: "http://", "Host": ""}, 403),
    ({"Referer": HERE}, 403),
    ({"X-Requested-With": "XMLHttpRequest"}, 403),
    ({}, 403),
    ({"x-api-key": API_KEY, SITE: "cross-site", ORIGIN: "https://evil.example"}, 200),
    ({"Authorization": f"Bearer {API_KEY}"}, 200),
]


def test_what_a_cookie_may_change_a_page_of_ours_must_have_asked_for(shelf: AppClient) -> None:
    """Else 403, with a sentence; a key needs no page, for pages cannot send it unasked."""
    sign_in(shelf)
    # The cookie by hand: the test client would keep it from other hosts.
    cookie = {"Cookie": f"{COOKIE}={token_of(shelf)}"}
    client = shelf.client.application.test_client(use_cookies=False)
    for headers, status in PAGES:
        for method in ("POST", "PATCH", "PUT", "DELETE"):
            answer = client.open(SHELF, method=method, headers=cookie | headers)
            assert answer.status_code == status, (method, headers, answer.json)
            assert status == 200 or (answer.json["code"], "CSRF" in answer.json["error"]) == ("forbidden", True)


def test_reading_needs_no_page_of_ours(shelf: AppClient) -> None:
    """A link from elsewhere works; and what it reads the other page does not see."""
    sign_in(shelf)
    for method, site in itertools.product(("GET", "HEAD"), ("cross-site", "same-site", "none", "")):
        answer = shelf.client.open(SHELF, method=method, headers={SITE: site, ORIGIN: "https://evil.example"})
        assert answer.status_code == 200
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("method", "path"), [("POST", SESSION), ("DELETE", SESSION), ("DELETE", f"{SESSION}/all")])
def test_other_pages_sign_nobody_in_or_out(app: AppClient, method: str, path: str) -> None:
    """Nor in as somebody else, whose pictures one would then upload to."""
    sign_in(app)
    for headers in ({SITE: "cross-site"}, {ORIGIN: "https://evil.example"}, {ORIGIN: "null"}):
        answer = app.client.open(path, method=method, data={"key": API_KEY}, headers=headers)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert app.client.get(SESSION).status_code == 200
    assert app.client.open(path, method=method, data={"key": API_KEY}, headers={ORIGIN: HERE}).status_code in (200, 204)


def test_signing_out_by_cookie_alone_needs_a_page_of_ours(app: AppClient) -> None:
    """It changes something too; nothing does by GET."""
    sign_in(app)
    for path in (SESSION, f"{SESSION}/all"):
        assert app.client.delete(path).status_code == 403
        assert app.client.get(SESSION).status_code == 200
    for path in (f"{SESSION}/all", "/api/v1/auth/regenerate"):
        assert app.client.get(path).status_code == 405


def test_scopes_hold_for_logins_too(shelf: AppClient) -> None:
    """401 and 403 are told apart."""
    reader = shelf.stores.api_keys.create("eve", KeyChange(scopes=frozenset({Scope.READ})))
    assert shelf.client.post(SHELF, headers=OURS).status_code == 401
    sign_in(shelf, reader)
    refused = shelf.client.post(SHELF, headers=OURS)

    assert shelf.client.get(SHELF).status_code == 200
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    assert "library" in refused.json["error"]


def test_each_login_has_a_token_of_its_own(shelf: AppClient) -> None:
    """One that came along is not taken over, and is over if it was a login."""
    shelf.client.set_cookie(COOKIE, "A" * 43)
    first = sign_in(shelf)
    second = sign_in(shelf)

    assert len({"A" * 43, first, second}) == 3
    assert [answer_of(shelf, token) for token in ("A" * 43, first, second)] == [401, 401, 200]


def test_of_two_cookies_none_counts(shelf: AppClient) -> None:
    """A neighbouring host can set one beside ours, so that one would work in its account without knowing."""
    mine, evils = sign_in(shelf), sign_in(elsewhere(shelf))

    assert answer_of(shelf, mine) == answer_of(shelf, evils) == 200
    assert answer_of(shelf, f"{evils}; {COOKIE}={mine}") == 401


def test_no_cookie_is_worse_than_a_401(shelf: AppClient) -> None:
    """Whatever stands in it."""
    for token in ("", "x", "%00", "\u00e9" * 43, "A" * 43, "A" * 5000, '"', "a=b", "' OR 1=1 --"):
        assert answer_of(shelf, token) == answer_of(shelf, token, SESSION) == 401


def test_a_login_ends_with_its_key(shelf: AppClient) -> None:
    """Revoked or regenerated, and nobody else's with it."""
    bobs, eves = shelf.stores.api_keys.create("bob"), shelf.stores.api_keys.create("eve")
    bob, eve, owner = (sign_in(elsewhere(shelf), key) for key in (bobs, eves, API_KEY))
    shelf.stores.api_keys.revoke(bobs.split("_")[1])
    assert [answer_of(shelf, token) for token in (bob, eve, owner)] == [401, 200, 200]
    regenerated = shelf.client.post("/api/v1/auth/regenerate", headers={"x-api-key": eves})
    assert regenerated.status_code == 200
    assert [answer_of(shelf, token) for token in (bob, eve, owner)] == [401, 401, 200]


def test_signing_out_everywhere_ends_every_login_of_the_caller(shelf: AppClient) -> None:
    """And no other's."""
    bobs = shelf.stores.api_keys.create("bob")
    there, bob, here = sign_in(elsewhere(shelf)), sign_in(elsewhere(shelf), bobs), sign_in(shelf)
    assert shelf.client.delete(f"{SESSION}/all", headers=OURS).status_code == 204

    assert [answer_of(shelf, token) for token in (there, here, bob)] == [401, 401, 200]
    assert shelf.client.delete(f"{SESSION}/all", headers=OURS).status_code == 401


def test_the_cookie_lasts_from_its_last_use(turned: AppClient, clock: FakeClock) -> None:
    """It is sent anew with an answer now and then, but not with one that a proxy may keep for everybody."""
    token = sign_in(turned)
    assert "Set-Cookie" not in turned.client.get(SHELF).headers
    clock.advance(7200)
    assert "Set-Cookie" not in turned.client.get(f"{SHELF}/public").headers
    clock.advance(7200)
    answer = turned.client.get(SHELF)
    assert f"{COOKIE}={token}" in answer.headers["Set-Cookie"]
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "Set-Cookie" not in turned.client.get(SHELF).headers
    clock.advance(30 * 24 * 3600)
    assert turned.client.get(SHELF).status_code == 401


def test_ten_logins_a_minute_are_enough(turned: AppClient, clock: FakeClock) -> None:
    """Of one address, right or wrong; whoever waits as long as is said may go on, and who is signed in is not asked."""
    sign_in(turned)
    wrong = [turned.client.post(SESSION, json={"key": f"guess {n}"}).status_code for n in range(9)]
    over = turned.client.post(SESSION, json={"key": API_KEY})

    assert wrong == [401] * 9
    assert (over.status_code, over.json["code"]) == (429, "limit_reached")
    assert '"login";q=10;w=60' in over.headers["RateLimit-Policy"]
    assert turned.client.get(SHELF).status_code == 200
    clock.advance(int(over.headers["Retry-After"]))
    assert turned.client.post(SESSION, json={"key": API_KEY}).status_code == 200


FAILING: list[tuple[dict[str, Any], int, str]] = [
    ({"json": {"key": "wrong"}}, 401, "The key is not valid"),
    ({"data": {"key": "wrong"}}, 401, "The key is not valid"),
    ({"json": {}}, 400, "key: missing"),
    ({"json": []}, 400, "JSON object"),
    ({"json": {"key": 7}}, 400, "key: must be text"),
    ({"json": {"key": "k" * 513}}, 400, "at most 512"),
    ({"data": b'{"key": "\\ud800"}', "content_type": "application/json"}, 400, "key: must be text"),
    ({"data": b"{", "content_type": "application/json"}, 400, ""),
    ({"data": b"[" * 100_000, "content_type": "application/json"}, 400, ""),
    ({"data": b'{"key": "x"}', "content_type": "text/plain"}, 415, "as JSON or as a form"),
    ({"data": b"key=x"}, 415, "as JSON or as a form"),
    ({}, 415, "as JSON or as a form"),
    ({"data": {}, "content_type": "application/x-www-form-urlencoded"}, 400, "key: missing"),
    ({"json": {"key": "k" * 1_100_000}}, 413, ""),
]


def test_a_login_that_fails_says_why(app: AppClient) -> None:
    """In one sentence, without repeating what was sent."""
    for number, (body, status, words) in enumerate(FAILING):
        # Each from an address of its own, for there is a limit.
        answer = app.client.post(SESSION, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}, **body)
        assert (answer.status_code, answer.mimetype) == (status, "application/json"), body
        assert words in answer.json["error"]
        assert "kkkk" not in answer.get_data(as_text=True)
        assert "Set-Cookie" not in answer.headers


def test_without_redis_nobody_signs_in_uncounted(settings: Settings) -> None:
    """503, for the right key and for a wrong one; the key in a header works as before."""
    nowhere = f"unix://{settings.data_dir / 'none.sock'}?db=0"
    front = add_shelf(open_app(replace(settings, redis_url=nowhere, broker_url=nowhere)))
    for key in (API_KEY, "wrong"):
        assert front.client.post(SESSION, json={"key": key}).status_code == 503
    front.client.set_cookie(COOKIE, "A" * 43)
    assert front.client.get(SHELF).status_code == 503
    assert front.client.get(SHELF, headers={"x-api-key": API_KEY}).status_code == 200
    close_app(front)


PREFIXES = (
    "/api/models",
    "/api/v1/models",
    "/api/images",
    "/api/v1/images",
    "/api/v1/library",
    "/api/v1/auth",
    SESSION,
)


UNKNOWN: list[tuple[dict[str, Any], int, str]] = [
    ({"method": "GET"}, 404, "not_found"),
    ({"method": "POST", "data": b"x" * 1_100_000}, 413, "too_large"),
    ({"method": "POST", "data": b"{", "content_type": "application/json"}, 400, "invalid"),
]


def test_errors_of_the_library_are_a_sentence(app: AppClient) -> None:
    """Also those of addresses that nobody knows: `error` is text, beside a code and the request's id."""
    for prefix, (asked, status, code) in itertools.product(PREFIXES, UNKNOWN):
        answer = app.client.open(f"{prefix}/no/such/thing", headers={"X-Request-ID": "here"}, **asked)
        assert (answer.status_code, answer.mimetype) == (status, "application/json")
        assert isinstance(answer.json["error"], str)
        assert {name: value for name, value in answer.json.items() if name != "error"} == {
            "code": code,
            "requestId": "here",
        }


def test_the_library_tells_401_403_and_405_apart(shelf: AppClient) -> None:
    """Each with its code."""
    reader = {"x-api-key": shelf.stores.api_keys.create("eve", KeyChange(scopes=frozenset({Scope.READ})))}
    for path in (SHELF, SHELF_BY_KEY):
        missing, wrong = shelf.client.get(path), shelf.client.get(path, headers={"Authorization": "Bearer x"})
        assert missing.status_code == wrong.status_code == 401
        assert missing.json["error"] == wrong.json["error"] == NO_KEY
        assert set(missing.json) == {"error", "code", "requestId"}
        assert shelf.client.post(path, headers=reader).json["code"] == "forbidden"
    assert shelf.client.open(SESSION, method="PUT").json["code"] == "method_not_allowed"


def test_neighbouring_addresses_keep_their_own_shape(app: AppClient) -> None:
    """A prefix ends where a word ends."""
    for path in ("/api/modelsx", "/api/v1/jobs/none", "/api/sessions", "/api/v1/authority"):
        assert isinstance(app.get(path).json["error"], dict)


def test_details_are_a_list(app: AppClient) -> None:
    """And left out where the sentence says all."""
    told = [app.client.post(SESSION, json={}) for _ in range(11)]

    assert told[0].json["error"].startswith("key: missing")
    assert "details" not in told[0].json
    assert told[10].json["details"] == ["policy: login"]
