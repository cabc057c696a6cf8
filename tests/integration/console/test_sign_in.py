"""The ways into the console, and what a session may do."""

import re
from typing import Any

import pytest

from api.console.page import CONTENT_SECURITY_POLICY
from schemas.accounts.caller import OWNER
from stores.accounts.api_keys import compute_key_version
from stores.accounts.sign_in_links import SignInLink, store_sign_in_link
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
COOKIE = "darkroom_session"
SIGN_IN = "/console/sign-in"
UNSAFE_METHODS = {"POST", "PUT", "PATCH", "DELETE"}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


def sign_in(app: AppClient, key: str = API_KEY) -> Any:
    """Send the form."""
    return app.client.post(SIGN_IN, data={"key": key}, headers={**HTML, **SAME_ORIGIN})


def create_link(app: AppClient, host: str = "localhost", *, is_shared: bool = False, key: str = API_KEY) -> str:
    """Create a link as ``up`` does and return its path."""
    link = SignInLink(OWNER, compute_key_version(key), host, is_shared)
    return f"{SIGN_IN}/{store_sign_in_link(app.stores.redis, link)}"


def use(app: AppClient, path: str, **options: Any) -> int:
    """Send the form of a link in another browser; return the status."""
    client = app.client.application.test_client()
    return int(client.post(path, headers={**HTML, **SAME_ORIGIN, **options.pop("headers", {})}, **options).status_code)


def test_the_root_is_a_page_for_browsers_and_json_for_programs(app: AppClient) -> None:
    """A browser gets the sign-in page, then the room Make; a program the same document as ever."""
    before = app.client.get("/", headers=HTML)
    assert (before.status_code, 'name="key"' in before.text) == (200, True)
    assert sign_in(app).headers["Location"] == "/"

    after = app.client.get("/", headers=HTML)
    assert "<h1" in after.text
    assert 'name="key"' not in after.text
    for answer in (before, after):
        assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert answer.headers["Vary"] == "Accept, Cookie"
        assert not re.search(r"<style|style=|<script(?![^>]* src=)(?![^>]*application/json)| on[a-z]+=", answer.text)
    assert app.client.get("/", headers={"Accept": "*/*"}).json["name"] == "Darkroom"


def test_a_page_leads_back_to_itself_after_the_sign_in(app: AppClient) -> None:
    """The address is kept, and no other site can be its target."""
    answer = app.client.get("/console/make?site=studio", headers=HTML)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{SIGN_IN}?next=%2Fconsole%2Fmake%3Fsite%3Dstudio"
    for target, expected in (
        ("/console/make?site=studio", "/console/make?site=studio"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ):
        data = {"key": API_KEY, "next": target}
        answer = app.client.post(SIGN_IN, data=data, headers={**HTML, **SAME_ORIGIN})
        assert (answer.status_code, answer.headers["Location"]) == (303, expected)


@pytest.mark.parametrize("key", ["", "wrong", "x" * 10_000, "<script>alert(1)</script>"])
def test_an_invalid_key_shows_the_form_again(app: AppClient, key: str) -> None:
    """The page says why, and does not repeat the key."""
    answer = sign_in(app, key)

    assert answer.status_code in (400, 401)
    assert 'role="alert"' in answer.text
    assert "<script>alert" not in answer.text
    assert app.client.get_cookie(COOKIE) is None


def test_a_link_signs_in_one_browser_once(app: AppClient) -> None:
    """Opening it only shows a form; the first browser that sends the form is signed in, the next is not."""
    path = create_link(app)
    for _ in range(2):
        assert 'id="follow-link"' in app.client.get(path, headers=HTML).text
    assert app.client.get_cookie(COOKIE) is None

    assert app.client.post(path, headers={**HTML, **SAME_ORIGIN}).status_code == 303
    assert app.client.get("/api/session").json["name"] == OWNER
    assert use(app, path) == 404
    assert app.client.application.test_client().get(path, headers=HTML).status_code == 404


def test_a_link_is_kept_as_a_hash_for_ten_minutes(app: AppClient) -> None:
    """Whoever reads Redis cannot sign in with what is there."""
    token = create_link(app).rpartition("/")[2]
    (name,) = app.stores.redis.keys("dr:signin:*")

    assert token not in name.decode()
    assert token.encode() not in app.stores.redis.get(name)
    assert 595_000 < app.stores.redis.pttl(name) <= 600_000


def test_a_link_opens_only_where_it_is_for(app: AppClient) -> None:
    """On the same machine and at its address, unless it is shared; a refusal does not use it up."""
    path = create_link(app)

    assert use(app, path, environ_base=ELSEWHERE) == 403
    assert use(app, path, headers={"X-Forwarded-For": "192.0.2.7"}) == 403
    assert use(app, path, base_url="http://rebound.example") == 403
    assert use(app, path, headers=CROSS_SITE) == 403
    assert use(app, path) == 303
    shared = create_link(app, "darkroom.example", is_shared=True)
    assert use(app, shared, environ_base=ELSEWHERE) == 403
    assert use(app, shared, environ_base=ELSEWHERE, base_url="http://darkroom.example") == 303


def test_links_that_were_never_given_out_do_not_open(app: AppClient) -> None:
    """Nor do those of an earlier key."""
    for path in (f"{SIGN_IN}/{'A' * 43}", f"{SIGN_IN}/short", create_link(app, key="an earlier key of the owner")):
        assert use(app, path) == 404


def test_signing_out_ends_the_session(app: AppClient) -> None:
    """Another site cannot do it."""
    sign_in(app)
    token = app.client.get_cookie(COOKIE).value

    assert app.client.post("/console/sign-out", headers={**HTML, **CROSS_SITE}).status_code == 403
    assert app.client.post("/console/sign-out", headers={**HTML, **SAME_ORIGIN}).status_code == 303
    assert app.stores.sessions.get(token) is None


def test_no_route_changes_anything_for_another_site(app: AppClient) -> None:
    """Every route that a session may call refuses requests without proof of the same origin."""
    sign_in(app)
    cookie = {"Cookie": f"{COOKIE}={app.client.get_cookie(COOKIE).value}"}
    client = app.client.application.test_client(use_cookies=False)
    reached = 0
    for rule in app.client.application.url_map.iter_rules():
        # The second one takes a key in its body and ignores the session.
        if rule.websocket or rule.endpoint == "login.sign_in":
            continue
        path = re.sub(r"<[^>]+>", "1", re.sub(r"<job_id:[^>]+>", "a" * 32, rule.rule))
        for method in sorted((rule.methods or set()) & UNSAFE_METHODS):
            for proof in (CROSS_SITE, {}, {"Sec-Fetch-Site": "same-site"}):
                answer = client.open(path, method=method, headers=cookie | proof)
                # 404: the path needs an id of another form, so no view ran. 401: the route ignores sessions.
                assert answer.status_code in (401, 403, 404), (method, path, proof, answer.status_code, answer.text)
                reached += answer.status_code == 403
    assert reached > 60


def test_a_link_on_another_site_submits_no_job(app: AppClient) -> None:
    """GET submits jobs in the Weights API, so the session needs the same proof there."""
    sign_in(app)
    path = "/generateImage?prompt=a%20lighthouse%20at%20dusk"
    for proof in (CROSS_SITE, {}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-site"}):
        assert app.client.get(path, headers=proof).status_code == 403

    assert app.get("/api/v1/jobs").json["jobs"] == []
    assert app.client.get(path, headers=SAME_ORIGIN).status_code == 200


def test_errors_of_the_console_are_pages(app: AppClient) -> None:
    """They say what to do; a program gets JSON."""
    sign_in(app)
    answer = app.client.get("/console/no/such/page", headers=HTML)

    assert (answer.status_code, "Back to Make" in answer.text) == (404, True)
    assert app.client.get("/console/no/such/page").json["error"]


def test_assets_are_kept_for_good_under_the_digest_of_their_version(app: AppClient) -> None:
    """Compressed for browsers that can; under an older digest the present file is sent but not kept."""
    page = app.client.get(SIGN_IN, headers=HTML).text
    urls = re.findall(r'"(/console/assets/[^"]+)"', page)
    assert len(urls) >= 4
    for url in urls:
        plain, packed = app.client.get(url), app.client.get(url, headers={"Accept-Encoding": "gzip"})
        assert "immutable" in plain.headers["Cache-Control"]
        assert len(packed.data) <= len(plain.data)
    older = re.sub(r"assets/\w+/", "assets/000000000000/", urls[0])
    assert app.client.get(older).headers["Cache-Control"] == "no-cache"
    assert app.client.get(f"{urls[0]}/../../../page.py").status_code == 404
