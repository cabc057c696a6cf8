"""The ways into the console, and what a session may do."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page, expect

from api.console.page import CONTENT_SECURITY_POLICY
from ops.cli.processes.sign_in_link import create_sign_in_link
from ops.infra.dns import local_addresses
from ops.infra.settings import Settings
from schemas.accounts.caller import OWNER
from stores.accounts.api_keys import compute_key_version
from stores.accounts.sign_in_links import SignInLink, store_sign_in_link
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient, close_app, open_app, serve_app
from tests.support.shared_browser import REMOTE_HOST, shared_browser

HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
CROSS_SITE = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
COOKIE = "darkroom_session"
SIGN_IN = "/console/sign-in"
LINK = f"{SIGN_IN}/link"
UNSAFE_METHODS = {"POST", "PUT", "PATCH", "DELETE"}
ELSEWHERE = {"REMOTE_ADDR": "192.0.2.7"}


def sign_in(app: AppClient, key: str = API_KEY) -> Any:
    """Send the form."""
    return app.client.post(SIGN_IN, data={"key": key}, headers={**HTML, **SAME_ORIGIN})


def create_link(app: AppClient, host: str = "localhost", *, is_shared: bool = False, key: str = API_KEY) -> str:
    """Create a link as ``up`` does and return its token."""
    return store_sign_in_link(app.stores.redis, SignInLink(OWNER, compute_key_version(key), host, is_shared))


def use(app: AppClient, token: str, **options: Any) -> int:
    """Send the form of a link in another browser; return the status."""
    client, headers = app.client.application.test_client(), {**HTML, **SAME_ORIGIN, **options.pop("headers", {})}
    return int(client.post(LINK, data={"token": token}, headers=headers, **options).status_code)


def test_the_root_is_a_page_for_browsers_and_json_for_programs(app: AppClient) -> None:
    """A browser gets the sign-in page, then the Make section; a program the same document as ever."""
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
        assert answer.headers.getlist("Referrer-Policy") == ["same-origin"]
        assert not re.search(r"<style|style=|<script(?![^>]* src=)(?![^>]*application/json)| on[a-z]+=", answer.text)
    assert app.client.get("/", headers={"Accept": "*/*"}).json["name"] == "Darkroom"
    assert len(app.client.get("/gallery", headers=HTML).headers.getlist("Referrer-Policy")) == 1


def test_a_page_leads_back_to_itself_after_the_sign_in(app: AppClient) -> None:
    """The address is kept; its target is a page of this server, not another site and not an API."""
    answer = app.client.get("/console/make?site=studio", headers=HTML)
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"{SIGN_IN}?next=%2Fconsole%2Fmake%3Fsite%3Dstudio"
    pages = ("/", "/console/make?site=studio&x=..", "/gallery?explicit=only", "/c/plain/0x1", "/u/0x2")
    others = ("//evil.example", "/\\evil.example", "https://evil.example", "/\n/evil.example", "javascript:alert(1)")
    apis = ("/generateImage?prompt=x", "/consoles", "/console/../generateImage", "/c/.%2E/generateImage", "/v1/c/x", "")
    for number, target in enumerate((*pages, *others, *apis)):
        # Each from an address of its own, for there is a limit.
        address, data = {"REMOTE_ADDR": f"192.0.2.{number}"}, {"key": API_KEY, "next": target}
        answer = app.client.post(SIGN_IN, data=data, headers={**HTML, **SAME_ORIGIN}, environ_base=address)
        assert (answer.status_code, answer.headers["Location"]) == (303, target if target in pages else "/"), target


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
    token = create_link(app)
    assert 'id="follow-link"' in app.client.get(LINK, headers=HTML).text
    assert app.client.get_cookie(COOKIE) is None

    assert app.client.post(LINK, data={"token": token}, headers={**HTML, **SAME_ORIGIN}).status_code == 303
    assert app.client.get("/api/session").json["name"] == OWNER
    assert use(app, token) == 404


def test_a_link_is_kept_as_a_hash_for_ten_minutes(app: AppClient) -> None:
    """A reader of Redis cannot sign in with its contents."""
    token = create_link(app)
    (name,) = app.stores.redis.keys("dr:signin:*")

    assert token not in name.decode()
    assert token.encode() not in app.stores.redis.get(name)
    assert 500_000 < app.stores.redis.pttl(name) <= 600_000


def test_a_link_opens_only_where_it_is_for(app: AppClient) -> None:
    """On the same machine and at its address, unless it is shared; a refusal does not use it up."""
    token = create_link(app)

    assert use(app, token, environ_base=ELSEWHERE) == 403
    for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "Via"):
        assert use(app, token, headers={name: "127.0.0.1"}) == 403
    assert use(app, token, base_url="http://rebound.example") == 403
    # A proxy that tells nothing and replaces Host.
    assert use(app, token, headers={"Origin": "https://darkroom.example"}) == 403
    assert use(app, token, headers=CROSS_SITE) == 403
    assert use(app, token) == 303
    shared = create_link(app, "darkroom.example", is_shared=True)
    assert use(app, shared, environ_base=ELSEWHERE) == 403
    assert use(app, shared, environ_base=ELSEWHERE, headers={"Origin": "https://darkroom.example"}) == 303


def test_the_link_of_up_opens_whatever_the_server_listens_on(app: AppClient) -> None:
    """At its own address from this machine's addresses, by IPv4 or IPv6, and at the default port."""
    own = [address for address in local_addresses() if "." in address]
    for host, port, clients in (
        ("0.0.0.0", 3000, own),  # noqa: S104 - nothing is bound
        ("::", 3000, ["::ffff:127.0.0.1", "::1"]),
        ("127.0.0.1", 80, ["127.0.0.1"]),
        ("192.0.2.9", 3000, own),
    ):
        settings = replace(app.stores.settings, host=host, port=port)
        for client in clients:
            link = urlsplit(create_sign_in_link(settings, settings.redis_url, is_shared=False))
            assert link.path == LINK
            url, where = f"http://{link.netloc}", {"REMOTE_ADDR": client}
            status = use(app, link.fragment, headers={"Origin": url}, base_url=url, environ_base=where)
            assert (host, port, client, status) == (host, port, client, 303)


def test_a_trusted_proxy_states_where_the_browser_is(settings: Settings) -> None:
    """Its other headers do not matter then."""
    app = open_app(replace(settings, trusted_proxies=1))
    for stated, status in (("192.0.2.7", 403), ("127.0.0.1", 303)):
        assert use(app, create_link(app), headers={"X-Forwarded-For": stated, "Via": "1.1 proxy"}) == status
    close_app(app)


def test_links_that_were_never_given_out_do_not_open(app: AppClient) -> None:
    """Nor do those of an earlier key."""
    for token in ("A" * 43, "short", "", "\u00e9" * 43, create_link(app, key="an earlier key of the owner")):
        assert use(app, token) == 404


def test_forms_and_scripts_work_over_plain_http_from_another_machine(app: AppClient, app_url: str) -> None:
    """There browsers send no Sec-Fetch-Site, so only Origin tells; and no request for a page has the link's token."""
    url = app_url.replace("127.0.0.1", REMOTE_HOST)
    token = create_link(app, urlsplit(url).netloc, is_shared=True)
    requested: list[str] = []

    async def work(context: BrowserContext) -> None:
        page: Page = await context.new_page()
        page.on("request", lambda request: requested.append(request.url))
        await page.goto(f"{url}{LINK}#{token}")
        await page.wait_for_url(f"{url}/")
        assert not await page.evaluate("isSecureContext")
        changed = await page.evaluate("fetch('/api/v1/jobs/cancel', {method: 'POST'}).then((answer) => answer.status)")
        assert changed == 200
        await page.get_by_role("button", name="Sign out").click()
        await page.get_by_label("API key").fill(API_KEY)
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    shared_browser.run(work)
    # Playwright reports addresses with the fragment, which browsers do not send.
    assert token not in "".join(address.partition("#")[0] for address in requested)


def test_the_link_of_up_works_although_public_url_is_https(settings: Settings) -> None:
    """In a browser on this machine, at an address that browsers do not trust; the session goes on there."""
    app = open_app(replace(settings, public_url="https://darkroom.example"))

    async def work(context: BrowserContext) -> None:
        page: Page = await context.new_page()
        await page.goto(f"{url}{LINK}#{create_link(app, urlsplit(url).netloc)}")
        await page.wait_for_url(f"{url}/")
        await page.reload()
        await expect(page.get_by_role("button", name="Sign out")).to_be_visible()

    with serve_app(app.client.application) as address:
        url = address.replace("127.0.0.1", REMOTE_HOST)
        shared_browser.run(work)
    close_app(app)


def test_a_browser_that_would_drop_the_cookie_is_told(settings: Settings) -> None:
    """Over plain HTTP from another machine, where PUBLIC_URL is https; over TLS the cookie is Secure."""
    app = open_app(replace(settings, public_url="https://darkroom.example"))
    plain, secure = {"Origin": "http://192.0.2.1:3000"}, {"Origin": "https://darkroom.example"}
    for path, data in ((SIGN_IN, {"key": API_KEY}), (LINK, {"token": create_link(app, "192.0.2.1:3000")})):
        options = {"data": data, "environ_base": ELSEWHERE, "base_url": "http://192.0.2.1:3000"}
        answer = app.client.post(path, headers={**HTML, **SAME_ORIGIN, **plain}, **options)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (403, False)
        assert "without TLS" in answer.text
        assert "https://darkroom.example" in answer.text
    answer = app.client.post(SIGN_IN, data={"key": API_KEY}, headers={**HTML, **SAME_ORIGIN, **secure})
    assert (answer.status_code, "Secure" in answer.headers["Set-Cookie"]) == (303, True)
    close_app(app)


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
    """GET submits jobs and reserves ids in the compatible APIs, so the session needs the same proof there."""
    sign_in(app)
    path = "/generateImage?prompt=a%20lighthouse%20at%20dusk"
    # After a redirect from a form of the sign-in page, a link of another site counts as the same origin.
    redirected = {**SAME_ORIGIN, "Sec-Fetch-Mode": "navigate"}
    for each in (path, "/v1/c/virtual/next/0x1", f"/v1/upload/token/0x{1:064x}"):
        for proof in (CROSS_SITE, {}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-site"}, redirected):
            assert app.client.get(each, headers=proof).status_code == 403
            assert "CSRF" in app.client.get(each, headers=proof).text

    assert app.get("/api/v1/jobs").json["jobs"] == []
    assert app.client.get(path, headers={**SAME_ORIGIN, "Sec-Fetch-Mode": "cors"}).status_code == 200


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
