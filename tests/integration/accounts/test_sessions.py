"""Browser sessions: the cookie, CSRF protection, and how sessions end."""

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
from tests.integration.accounts.test_rate_limits import open_limited_app
from tests.integration.conftest import AppClient, close_app, open_app

SESSION = "/api/session"
# Like the routes of the library, which exist below both prefixes.
SESSION_PATH, VERSIONED_PATH = "/api/models/test-route", "/api/v1/models/test-route"
COOKIE = "darkroom_session"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
NO_KEY = "Missing or invalid Authorization header"


def add_test_routes(app: AppClient) -> AppClient:
    """Add routes that read and change something, below both prefixes."""
    for name, prefix in (("session_route", SESSION_PATH), ("versioned_route", VERSIONED_PATH)):
        blueprint = Blueprint(name, __name__, access=Access.KEY, error_format=library_body, url_prefix=prefix)
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
def routes_app(app: AppClient) -> AppClient:
    """An app with these routes."""
    return add_test_routes(app)


@pytest.fixture
def timed_app(settings: Settings, clock: FakeClock) -> Iterator[AppClient]:
    """An app with these routes, and a clock that the test controls."""
    with open_limited_app(settings, clock) as app:
        yield add_test_routes(app)


def sign_in(app: AppClient, key: str = API_KEY) -> str:
    """Sign in and return the new session token."""
    response = app.client.post(SESSION, json={"key": key})
    assert response.status_code == 200, response.get_data(as_text=True)
    return cookie_token(app)


def cookie_token(app: AppClient) -> str:
    """The token in the client's cookie."""
    cookie = app.client.get_cookie(COOKIE)
    assert cookie
    return cookie.value


def other_browser(app: AppClient) -> AppClient:
    """The same app in another browser."""
    return AppClient(app.client.application.test_client(), app.stores)


def status_with_token(app: AppClient, token: str, path: str = SESSION_PATH) -> int:
    """The status of a request with a token, whatever the client's own cookie is."""
    with app.client.application.test_client(use_cookies=False) as client:
        return client.get(path, headers={"Cookie": f"{COOKIE}={token}"}).status_code


@pytest.mark.parametrize(
    ("url", "secure"), [("http://127.0.0.1:3000", False), ("https://darkroom.example/below", True)]
)
def test_the_cookie_has_strict_attributes(settings: Settings, url: str, secure: bool) -> None:
    """HttpOnly, SameSite, Secure behind https, and 30 days."""
    app = open_app(replace(settings, public_url=url))
    response = app.client.post(SESSION, json={"key": API_KEY})
    value, *flags = response.headers["Set-Cookie"].split("; ")
    close_app(app)

    assert value.startswith(f"{COOKIE}=")
    assert len(value.partition("=")[2]) == 43
    attributes = {flag for flag in flags if not flag.startswith("Expires=")}
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"} == attributes - {"Secure"}
    assert ("Secure" in flags) is secure
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("form", ["json", "data"])
def test_a_session_lasts_from_sign_in_to_sign_out(routes_app: AppClient, form: str) -> None:
    """The key may come as JSON or as a form; signing out twice is not an error."""
    key = routes_app.stores.api_keys.create("bob")
    signed_in = routes_app.client.post(SESSION, **{form: {"key": key}})
    token = cookie_token(routes_app)
    scopes = ["gallery", "generate", "library", "read"]

    assert signed_in.json == routes_app.client.get(SESSION).json == {"name": "bob", "scopes": scopes}
    assert routes_app.client.get(SESSION_PATH).json == {"caller": key.split("_")[1]}
    signed_out = routes_app.client.delete(SESSION, headers=SAME_ORIGIN)
    assert signed_out.status_code == 204
    assert "Max-Age=0" in signed_out.headers["Set-Cookie"]
    assert routes_app.client.get_cookie(COOKIE) is None
    assert status_with_token(routes_app, token) == 401
    assert routes_app.client.delete(SESSION).status_code == 204
    after = routes_app.client.get(SESSION)
    assert (after.status_code, after.json["error"], after.json["code"]) == (401, NO_KEY, "unauthorized")


def test_the_cookie_is_accepted_wherever_a_key_is(routes_app: AppClient) -> None:
    """Every API accepts the session of a key in place of the key."""
    assert routes_app.client.get("/quota").status_code == 401
    sign_in(routes_app)

    for path in (SESSION_PATH, VERSIONED_PATH, "/api/v1/jobs", "/quota", "/metrics", "/api/v1/webhooks"):
        assert routes_app.client.get(path).status_code == 200, path
    assert routes_app.client.post(VERSIONED_PATH, headers=SAME_ORIGIN).json["changed"]
    assert "redis" in routes_app.client.get("/health").json


def test_a_session_may_replace_its_key(routes_app: AppClient) -> None:
    """The new key works, and the session ends with the old one."""
    old = routes_app.stores.api_keys.create("bob")
    token = sign_in(routes_app, old)
    answer = routes_app.client.post("/api/v1/auth/regenerate", headers=SAME_ORIGIN)

    assert answer.status_code == 200, answer.json
    assert [routes_app.stores.api_keys.authenticate(key) is None for key in (old, answer.json["key"])] == [True, False]
    assert status_with_token(routes_app, token) == 401


def test_a_key_takes_precedence_over_the_cookie(routes_app: AppClient) -> None:
    """An invalid key fails despite a valid cookie, and a valid key decides who the caller is."""
    sign_in(routes_app)
    bob_key = {"x-api-key": routes_app.stores.api_keys.create("bob")}

    assert routes_app.client.get(SESSION_PATH, headers={"x-api-key": "wrong"}).status_code == 401
    assert routes_app.client.get(SESSION_PATH, headers=bob_key).json["caller"] != "owner"
    assert routes_app.client.post(SESSION_PATH, headers=bob_key).json["changed"]


LOCAL, SITE, ORIGIN = "http://localhost", "Sec-Fetch-Site", "Origin"
PUBLIC = "http://127.0.0.1:3000"


ORIGIN_CASES: list[tuple[dict[str, str], int]] = [
    ({SITE: "same-origin"}, 200),
    ({SITE: "none"}, 200),
    ({SITE: "same-origin", ORIGIN: LOCAL}, 200),
    ({SITE: "same-origin", ORIGIN: "https://evil.example"}, 200),
    ({SITE: "cross-site"}, 403),
    ({SITE: "same-site"}, 403),
    ({SITE: ""}, 403),
    ({SITE: "same-origin, cross-site"}, 403),
    ({SITE: "cross-site", ORIGIN: LOCAL}, 403),
    ({SITE: "same-site", ORIGIN: PUBLIC}, 403),
    ({ORIGIN: PUBLIC}, 200),
    ({ORIGIN: LOCAL}, 200),
    ({ORIGIN: "http://LOCALHOST:80"}, 200),
    ({ORIGIN: "http://darkroom.lan", "Host": "darkroom.lan"}, 200),
    ({ORIGIN: "http://darkroom.lan:8080", "Host": "darkroom.lan:8080"}, 200),
    ({ORIGIN: "http://darkroom.lan:8080", "Host": "darkroom.lan"}, 403),
    ({ORIGIN: "http://darkroom.lan", "X-Forwarded-Host": "darkroom.lan"}, 403),
    ({ORIGIN: "https://localhost", "X-Forwarded-Proto": "https"}, 403),
    ({ORIGIN: "https://localhost"}, 403),
    ({ORIGIN: "http://localhost:8000"}, 403),
    ({ORIGIN: "http://localhost.evil.example"}, 403),
    ({ORIGIN: "http://evil.example"}, 403),
    ({ORIGIN: "http://localhost@evil.example"}, 403),
    ({ORIGIN: "null"}, 403),
    ({ORIGIN: ""}, 403),
    ({ORIGIN: "http://", "Host": ""}, 403),
    ({"Referer": LOCAL}, 403),
    ({"X-Requested-With": "XMLHttpRequest"}, 403),
    ({}, 403),
    ({"x-api-key": API_KEY, SITE: "cross-site", ORIGIN: "https://evil.example"}, 200),
    ({"Authorization": f"Bearer {API_KEY}"}, 200),
]


def test_unsafe_requests_by_cookie_need_the_same_origin(routes_app: AppClient) -> None:
    """Otherwise the status is 403; requests with a key need no origin, because pages cannot send a key unasked."""
    sign_in(routes_app)
    # The cookie by hand: the test client would keep it from other hosts.
    cookie = {"Cookie": f"{COOKIE}={cookie_token(routes_app)}"}
    client = routes_app.client.application.test_client(use_cookies=False)
    for headers, status in ORIGIN_CASES:
        for method in ("POST", "PATCH", "PUT", "DELETE"):
            response = client.open(SESSION_PATH, method=method, headers=cookie | headers)
            assert response.status_code == status, (method, headers, response.json)
            assert status == 200 or (response.json["code"], "CSRF" in response.json["error"]) == ("forbidden", True)


@pytest.mark.parametrize(("proxies", "status"), [(0, 403), (1, 200)])
def test_the_scheme_needs_a_trusted_proxy(settings: Settings, proxies: int, status: int) -> None:
    """It decides which origin is this server's own."""
    app = add_test_routes(open_app(replace(settings, trusted_proxies=proxies)))
    sign_in(app)
    headers = {ORIGIN: "https://localhost", "X-Forwarded-Proto": "https"}
    assert app.client.post(SESSION_PATH, headers=headers).status_code == status
    close_app(app)


def test_safe_requests_by_cookie_need_no_origin(routes_app: AppClient) -> None:
    """Links from other sites work, and those sites cannot read the response."""
    sign_in(routes_app)
    for method, site in itertools.product(("GET", "HEAD"), ("cross-site", "same-site", "none", "")):
        response = routes_app.client.open(
            SESSION_PATH, method=method, headers={SITE: site, ORIGIN: "https://evil.example"}
        )
        assert response.status_code == 200
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize(("method", "path"), [("POST", SESSION), ("DELETE", SESSION), ("DELETE", f"{SESSION}/all")])
def test_other_sites_cannot_sign_in_or_out(app: AppClient, method: str, path: str) -> None:
    """Nor can they sign a victim in to an attacker's account."""
    sign_in(app)
    for headers in ({SITE: "cross-site"}, {ORIGIN: "https://evil.example"}, {ORIGIN: "null"}):
        response = app.client.open(path, method=method, data={"key": API_KEY}, headers=headers)
        assert response.status_code == 403
        assert "Set-Cookie" not in response.headers
    assert app.client.get(SESSION).status_code == 200
    assert app.client.open(path, method=method, data={"key": API_KEY}, headers={ORIGIN: LOCAL}).status_code in (
        200,
        204,
    )


def test_signing_out_by_cookie_needs_the_same_origin(app: AppClient) -> None:
    """Signing out changes state, so GET cannot do it either."""
    sign_in(app)
    for path in (SESSION, f"{SESSION}/all"):
        assert app.client.delete(path).status_code == 403
        assert app.client.get(SESSION).status_code == 200
    for path in (f"{SESSION}/all", "/api/v1/auth/regenerate"):
        assert app.client.get(path).status_code == 405


def test_scopes_apply_to_sessions(routes_app: AppClient) -> None:
    """A session without the scope gets 403, no session gets 401."""
    reader = routes_app.stores.api_keys.create("eve", KeyChange(scopes=frozenset({Scope.READ})))
    assert routes_app.client.post(SESSION_PATH, headers=SAME_ORIGIN).status_code == 401
    sign_in(routes_app, reader)
    rejected = routes_app.client.post(SESSION_PATH, headers=SAME_ORIGIN)

    assert routes_app.client.get(SESSION_PATH).status_code == 200
    assert (rejected.status_code, rejected.json["code"]) == (403, "forbidden")
    assert "library" in rejected.json["error"]


def test_each_sign_in_creates_a_new_token(routes_app: AppClient) -> None:
    """A token in the request is never reused, and its session ends."""
    routes_app.client.set_cookie(COOKIE, "A" * 43)
    first = sign_in(routes_app)
    second = sign_in(routes_app)

    assert len({"A" * 43, first, second}) == 3
    assert [status_with_token(routes_app, token) for token in ("A" * 43, first, second)] == [401, 401, 200]


def test_duplicate_cookies_are_ignored(routes_app: AppClient) -> None:
    """A neighbouring host can plant a second cookie to make a victim use the attacker's account."""
    own, planted = sign_in(routes_app), sign_in(other_browser(routes_app))

    assert status_with_token(routes_app, own) == status_with_token(routes_app, planted) == 200
    assert status_with_token(routes_app, f"{planted}; {COOKIE}={own}") == 401


def test_a_malformed_cookie_is_a_401(routes_app: AppClient) -> None:
    """The value of the cookie cannot cause another error."""
    for token in ("", "x", "%00", "\u00e9" * 43, "A" * 43, "A" * 5000, '"', "a=b", "' OR 1=1 --"):
        assert status_with_token(routes_app, token) == status_with_token(routes_app, token, SESSION) == 401


def test_sessions_end_with_their_key(routes_app: AppClient) -> None:
    """Revoking or regenerating a key ends its sessions and no others."""
    bob_key, eve_key = routes_app.stores.api_keys.create("bob"), routes_app.stores.api_keys.create("eve")
    bob, eve, owner = (sign_in(other_browser(routes_app), key) for key in (bob_key, eve_key, API_KEY))
    routes_app.stores.api_keys.revoke(bob_key.split("_")[1])
    assert [status_with_token(routes_app, token) for token in (bob, eve, owner)] == [401, 200, 200]
    regenerated = routes_app.client.post("/api/v1/auth/regenerate", headers={"x-api-key": eve_key})
    assert regenerated.status_code == 200
    assert [status_with_token(routes_app, token) for token in (bob, eve, owner)] == [401, 401, 200]


def test_signing_out_everywhere_ends_all_sessions_of_the_caller(routes_app: AppClient) -> None:
    """Sessions of other callers stay."""
    bob_key = routes_app.stores.api_keys.create("bob")
    first, bob, second = (
        sign_in(other_browser(routes_app)),
        sign_in(other_browser(routes_app), bob_key),
        sign_in(routes_app),
    )
    assert routes_app.client.delete(f"{SESSION}/all", headers=SAME_ORIGIN).status_code == 204

    assert [status_with_token(routes_app, token) for token in (first, second, bob)] == [401, 401, 200]
    assert routes_app.client.delete(f"{SESSION}/all", headers=SAME_ORIGIN).status_code == 401


def test_the_cookie_is_renewed_by_use(timed_app: AppClient, clock: FakeClock) -> None:
    """The cookie is sent again from time to time, but not with responses that shared caches may store."""
    token = sign_in(timed_app)
    assert "Set-Cookie" not in timed_app.client.get(SESSION_PATH).headers
    clock.advance(7200)
    assert "Set-Cookie" not in timed_app.client.get(f"{SESSION_PATH}/public").headers
    clock.advance(7200)
    response = timed_app.client.get(SESSION_PATH)
    assert f"{COOKIE}={token}" in response.headers["Set-Cookie"]
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert "Set-Cookie" not in timed_app.client.get(SESSION_PATH).headers
    clock.advance(30 * 24 * 3600)
    assert timed_app.client.get(SESSION_PATH).status_code == 401


def test_sign_ins_are_limited_per_address(timed_app: AppClient, clock: FakeClock) -> None:
    """Ten attempts a minute are allowed; existing sessions are not affected, and Retry-After is right."""
    sign_in(timed_app)
    wrong = [timed_app.client.post(SESSION, json={"key": f"guess {n}"}).status_code for n in range(9)]
    rejected = timed_app.client.post(SESSION, json={"key": API_KEY})

    assert wrong == [401] * 9
    assert (rejected.status_code, rejected.json["code"]) == (429, "limit_reached")
    assert '"login";q=10;w=60' in rejected.headers["RateLimit-Policy"]
    assert timed_app.client.get(SESSION_PATH).status_code == 200
    clock.advance(int(rejected.headers["Retry-After"]))
    assert timed_app.client.post(SESSION, json={"key": API_KEY}).status_code == 200


FAILED_SIGN_INS: list[tuple[dict[str, Any], int, str]] = [
    ({"json": {"key": "wrong"}}, 401, "The key is not valid"),
    ({"data": {"key": "wrong"}}, 401, "The key is not valid"),
    ({"json": {}}, 400, "key: is missing"),
    ({"json": []}, 400, "JSON object"),
    ({"json": {"key": 7}}, 400, "key: must be text"),
    ({"json": {"key": "k" * 513}}, 400, "at most 512"),
    ({"data": b'{"key": "\\ud800"}', "content_type": "application/json"}, 400, "key: must be text"),
    ({"data": b"{", "content_type": "application/json"}, 400, ""),
    ({"data": b"[" * 100_000, "content_type": "application/json"}, 400, ""),
    ({"data": b'{"key": "x"}', "content_type": "text/plain"}, 415, "as JSON or as a form"),
    ({"data": b"key=x"}, 415, "as JSON or as a form"),
    ({}, 415, "as JSON or as a form"),
    ({"data": {}, "content_type": "application/x-www-form-urlencoded"}, 400, "key: is missing"),
    ({"json": {"key": "k" * 1_100_000}}, 413, ""),
]


def test_a_failed_sign_in_has_a_reason(app: AppClient) -> None:
    """The message names the problem and does not repeat the key."""
    for number, (body, status, message) in enumerate(FAILED_SIGN_INS):
        # Each from an address of its own, for there is a limit.
        response = app.client.post(SESSION, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}, **body)
        assert (response.status_code, response.mimetype) == (status, "application/json"), body
        assert message in response.json["error"]
        assert "kkkk" not in response.get_data(as_text=True)
        assert "Set-Cookie" not in response.headers


def test_without_redis_sign_in_fails(settings: Settings) -> None:
    """The status is 503 for valid and invalid keys, because attempts cannot be counted; keys in headers still work."""
    missing_redis = f"unix://{settings.data_dir / 'none.sock'}?db=0"
    app = add_test_routes(open_app(replace(settings, redis_url=missing_redis, broker_url=missing_redis)))
    for key in (API_KEY, "wrong"):
        assert app.client.post(SESSION, json={"key": key}).status_code == 503
    app.client.set_cookie(COOKIE, "A" * 43)
    assert app.client.get(SESSION_PATH).status_code == 503
    assert app.client.get(SESSION_PATH, headers={"x-api-key": API_KEY}).status_code == 200
    close_app(app)


PREFIXES = (
    "/api/models",
    "/api/v1/models",
    "/api/images",
    "/api/v1/images",
    "/api/v1/library",
    "/api/v1/auth",
    SESSION,
)


# The body of a request to an unknown URL is not read.
UNKNOWN_URL_CASES: list[dict[str, Any]] = [
    {"method": "GET"},
    {"method": "POST", "data": b"x" * 1_100_000},
    {"method": "POST", "data": b"{", "content_type": "application/json"},
]


def test_library_errors_have_a_string(app: AppClient) -> None:
    """Also for unknown URLs, ``error`` is a string, beside a code and the request id."""
    for prefix, request_options in itertools.product(PREFIXES, UNKNOWN_URL_CASES):
        response = app.client.open(f"{prefix}/no/such/thing", headers={"X-Request-ID": "here"}, **request_options)
        assert (response.status_code, response.mimetype) == (404, "application/json")
        assert isinstance(response.json["error"], str)
        assert {name: value for name, value in response.json.items() if name != "error"} == {
            "code": "not_found",
            "requestId": "here",
        }


def test_library_errors_have_codes(routes_app: AppClient) -> None:
    """401, 403 and 405 each have their code."""
    reader = {"x-api-key": routes_app.stores.api_keys.create("eve", KeyChange(scopes=frozenset({Scope.READ})))}
    for path in (SESSION_PATH, VERSIONED_PATH):
        missing, wrong = routes_app.client.get(path), routes_app.client.get(path, headers={"Authorization": "Bearer x"})
        assert missing.status_code == wrong.status_code == 401
        assert missing.json["error"] == wrong.json["error"] == NO_KEY
        assert set(missing.json) == {"error", "code", "requestId"}
        assert routes_app.client.post(path, headers=reader).json["code"] == "forbidden"
    assert routes_app.client.open(SESSION, method="PUT").json["code"] == "method_not_allowed"


def test_error_formats_apply_to_whole_path_segments(app: AppClient) -> None:
    """URLs that merely begin like a library URL have the native error format."""
    for path in ("/api/modelsx", "/api/v1/jobs/none", "/api/sessions", "/api/v1/authority"):
        assert isinstance(app.get(path).json["error"], dict)


def test_library_error_details_are_a_list(app: AppClient) -> None:
    """``details`` is a list, and missing if the message says all."""
    responses = [app.client.post(SESSION, json={}) for _ in range(11)]

    assert responses[0].json["error"].startswith("key: is missing")
    assert "details" not in responses[0].json
    assert responses[10].json["details"] == ["policy: login"]
