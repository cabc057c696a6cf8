"""The gallery's pages for people, over HTTP and in a real browser."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request

from api.gallery.pages.listings import PICTURES_PER_PAGE
from api.gallery.pages.responses import PAGE_POLICY
from ops.infra.settings import Settings
from schemas.errors import Gone
from schemas.gallery.asset_names import icon_name
from schemas.gallery.assets import Asset
from schemas.gallery.collections import Collection, NewCollection
from schemas.gallery.encodings import VIRTUAL_CONTRACT, format_uint256
from schemas.gallery.tokens import Listing, MediaStatus, NewToken, Token, TokenMedia
from stores import Stores
from tests.conftest import API_KEY, create_tables
from tests.integration.conftest import AppClient, close_app, open_app, serve_app
from tests.support.images import draw_image, encode
from tests.support.shared_browser import shared_browser

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
KEY = {"x-api-key": API_KEY}
PUBLIC_URL = "https://pictures.example/below"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\u202e\u0000".replace("\0", "")
LONG = "W" * 500
PROMPT = f"a lighthouse at dusk {HOSTILE}"
TIMEOUT_S = 60
SIZES = ((360, 780, "light"), (1440, 900, "dark"))


@dataclass(frozen=True)
class Exhibition:
    """An app whose gallery has a plain, an explicit, a hostile, an empty and a long collection."""

    app: AppClient
    public: AppClient
    plain: Token
    explicit: Token
    hostile: Token
    private: Token
    long: Collection
    address: str

    @property
    def paths(self) -> list[str]:
        """One page of each kind."""
        tokens = (self.plain, self.explicit, self.hostile, self.private)
        collections = ("plain", "explicit", "hostile", "empty", "long")
        return [
            "/gallery",
            "/gallery/collections",
            f"/u/{self.address}",
            *(f"/c/{slug}" for slug in collections),
            *(f"/c/{token.collection.slug}/{token.token_id}" for token in tokens),
        ]


def path_of(token: Token) -> str:
    """The address of a token's page."""
    return f"/c/{token.collection.slug}/{token.token_id}"


def add_token(stores: Stores, slug: str, name: str, *, picture: str = "", **fields: Any) -> Token:
    """Add a token of the owner; ``picture`` is the stem of the names of its files."""
    collection = stores.gallery.collections.find(slug).collection
    token_id = stores.gallery.tokens.reserve_id("owner")
    token = stores.gallery.tokens.create("owner", collection, token_id, NewToken(name, **fields))
    if not picture:
        return token
    whole, thumb = encode(draw_image((640, 480)), "PNG"), encode(draw_image((512, 384)), "WEBP")
    small = f"{picture[:-1]}s.webp"
    files = {f"{picture}.png": whole, small: thumb, icon_name(small): encode(draw_image((64, 64)), "PNG")}
    for file, data in files.items():
        stores.media.put(f"gallery/{file}", data)
    assets = [
        Asset(file, f"gallery/{file}", f"image/{file[-4:].strip('.')}", sha256(data).hexdigest(), len(data))
        for file, data in files.items()
    ]
    media = TokenMedia(
        MediaStatus.READY, None, assets[0].sha256, "image/png", 640, 480, 1, len(whole), f"{picture}.png", small
    )
    return stores.gallery.tokens.attach_media(token.token_id, media, assets)


def provenance(prompt: str) -> dict[str, Any]:
    """What is kept of a job."""
    return {
        "jobId": "a" * 32,
        "finishedAt": 1_800_000_000_000,
        "site": {"name": "studio", "title": "Studio", "recipe": "3", "deterministic": True},
        "prompt": prompt,
        "lora": None,
        "inputs": {"width": 512, "steps": 7},
        "seed": 424_242,
        "models": [{"kind": "lora", "name": HOSTILE, "hashes": {}}],
    }


def fill(stores: Stores) -> dict[str, Any]:
    """Fill the gallery; return what the exhibition has of it."""
    gallery = stores.gallery
    profile = gallery.profiles.get_or_create("owner")
    gallery.profiles.update("owner", {"username": "<b>Mara</b>", "bio": HOSTILE, "link": "javascript:alert(3)"})
    for slug, name in (("plain", "Plain"), ("hostile", HOSTILE), ("empty", "Empty"), ("long", LONG)):
        gallery.collections.create("owner", NewCollection(name, slug=slug, description=name))
    gallery.collections.create("owner", NewCollection("Explicit", slug="explicit", explicit=True))
    attributes = ({"trait_type": HOSTILE, "value": HOSTILE}, {"trait_type": "n", "value": {"x": [HOSTILE]}})
    listing = Listing(*map(format_uint256, (5 * 10**16, 1_684_335_360, 2**256 - 1, 3)))
    for number in range(PICTURES_PER_PAGE + 5):
        add_token(stores, "long", f"Number {number}")
    plain = add_token(stores, "plain", "Lighthouse", picture="a" * 21, listing=listing, description="At dusk.")
    gallery.profiles.update("owner", {"image": plain.media.thumb})
    return {
        "plain": plain,
        "explicit": add_token(stores, "explicit", "Study", picture="e" * 21),
        "hostile": add_token(
            stores, "hostile", HOSTILE, description=HOSTILE, attributes=attributes, provenance=provenance(PROMPT)
        ),
        "private": add_token(stores, "plain", LONG, provenance=provenance("a secret"), is_prompt_private=True),
        "long": gallery.collections.find("long").collection,
        "address": profile.address,
    }


@pytest.fixture(scope="module")
def exhibition(
    base_settings: Settings, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exhibition]:
    """The same gallery behind two apps: one is public."""
    folder = tmp_path_factory.mktemp("gallery")
    settings = replace(
        base_settings,
        data_dir=folder,
        api_key=API_KEY,
        redis_url=redis_url,
        broker_url=redis_url,
        database_url=f"sqlite:///{folder / 'test.sqlite3'}",
        media_url=(folder / "media").as_uri(),
        rate_limit_address="unlimited",
    )
    create_tables(settings.database_url)
    app = open_app(settings)
    public = open_app(replace(settings, gallery_public=True, public_url=PUBLIC_URL))
    yield Exhibition(app, public, **fill(app.stores))
    close_app(app)
    close_app(public)


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data

    def meta(self) -> dict[str, str | None]:
        """What the page tells chats and search engines."""
        return {
            str(attributes.get("property") or attributes.get("name")): attributes.get("content")
            for tag, attributes in self.found
            if tag == "meta"
        }

    def links(self) -> list[str]:
        """The targets of its links."""
        return [attributes.get("href") or "" for tag, attributes in self.found if tag == "a"]


def elements(app: AppClient, path: str, **headers: str) -> Elements:
    """The elements of a page that is shown."""
    response = app.client.get(path, headers=BROWSER | headers)
    assert response.status_code == 200, response.text
    return Elements(response.text)


def test_reading_needs_a_key_or_a_session_unless_the_gallery_is_public(exhibition: Exhibition) -> None:
    """The profile alone is public, without its collections."""
    anonymous, profile = exhibition.app.client, f"/u/{exhibition.address}"
    for path in exhibition.paths:
        expected = 200 if path == profile else 401
        assert anonymous.get(path, headers=BROWSER).status_code == expected, path
        assert anonymous.get(path, headers=KEY).status_code == 200, path
        assert exhibition.public.client.get(path).status_code == 200, path
        assert exhibition.public.client.get(path, headers={"x-api-key": "wrong"}).status_code == 401, path
    refused = anonymous.get("/c/plain?explicit=only", headers=BROWSER)
    assert "/console/sign-in?next=%2Fc%2Fplain%3Fexplicit%3Donly" in Elements(refused.text).links()
    assert "Lighthouse" not in refused.text
    assert "og:" not in refused.text
    assert anonymous.get("/c/plain").json["error"]["code"] == "unauthorized"
    assert "/c/plain" not in elements(exhibition.app, profile).links()
    assert "/c/plain" in elements(exhibition.app, profile, **KEY).links()
    assert "/below/c/plain" in elements(exhibition.public, profile).links()

    browser = exhibition.app.client.application.test_client()
    assert browser.post("/api/session", json={"key": API_KEY}).status_code == 200
    assert browser.get("/gallery", headers=BROWSER).status_code == 200
    assert exhibition.public.client.post("/gallery").status_code in (401, 405)


def test_pages_have_strict_headers_and_are_validated_by_etags(exhibition: Exhibition) -> None:
    """No script, nothing from other hosts; shared caches keep only what is public."""
    for path in exhibition.paths:
        page = exhibition.app.client.get(path, headers=BROWSER | KEY)
        assert page.headers["Content-Security-Policy"] == PAGE_POLICY
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        assert page.headers["Cache-Control"] == "private, no-cache"
        assert "Cookie" in page.headers["Vary"]
        names = {tag for tag, _ in Elements(page.text).found}
        assert not names & {"script", "style", "iframe", "object", "form", "base"}
        assert not re.search(r"<[^>]*\s(style|on[a-z]+)=", re.sub(r'"[^"]*"', '""', page.text))
        repeated = exhibition.app.client.get(path, headers=BROWSER | KEY | {"If-None-Match": page.headers["ETag"]})
        assert (repeated.status_code, repeated.data) == (304, b"")
    assert "unsafe" not in PAGE_POLICY
    for path in ("/gallery", "/v1/q/latest-tokens", "/v1/q/latest-collections"):
        assert exhibition.public.client.get(path).headers["Cache-Control"].startswith("public")
        assert exhibition.public.client.get(path, headers=KEY).headers["Cache-Control"].startswith("private")
    token = f"/api/v1/gallery/tokens/{exhibition.plain.token_id}"
    assert exhibition.public.client.get(token).headers["Cache-Control"].startswith("private")


def test_other_spellings_redirect_to_the_one_address(exhibition: Exhibition) -> None:
    """Old slugs, contract addresses, upper case; the query is kept."""
    stores, token = exhibition.app.stores, exhibition.plain
    collection = stores.gallery.collections.create("owner", NewCollection("First name"))
    stores.gallery.collections.update("owner", collection.id, {"name": "Second name"})
    for path, target in (
        ("/c/first-name?explicit=only", "/c/second-name?explicit=only"),
        (f"/c/{collection.virtual_address}", "/c/second-name"),
        ("/c/PLAIN", "/c/plain"),
        (f"/c/{VIRTUAL_CONTRACT}/{token.token_id}", path_of(token)),
        (f"/c/first-name/{token.token_id.upper().replace('0X', '0x')}", path_of(token)),
    ):
        answer = exhibition.app.client.get(path, headers=BROWSER | KEY)
        assert (answer.status_code, answer.headers["Location"]) == (301, target)
        assert answer.headers["Cache-Control"] == "private, no-cache"
    assert exhibition.app.client.get(f"/u/{exhibition.address.lower()}/").status_code == 200
    assert exhibition.app.client.get("/c/plain/", headers=KEY).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/c/nothing", 404),
        ("/c/plain/0x12", 404),
        (f"/c/plain/0x{'f' * 64}", 404),
        ("/u/undefined", 404),
        (f"/u/0x{'0' * 40}", 404),
        ("/c/plain/1/2/3", 404),
        ("/gallery/elsewhere", 404),
        (f"/c/{HOSTILE.replace('/', '')}", 404),
        ("/c/" + "x" * 1500, 404),
        ("/c/%00", 404),
        ("/gallery?cursor=%3Cscript%3E", 400),
        ("/gallery?explicit=maybe", 400),
        ("/gallery/static/../views.py", 404),
    ],
)
def test_errors_are_pages_for_browsers_and_json_for_programs(exhibition: Exhibition, path: str, status: int) -> None:
    """Both say what is wrong and what to do."""
    page = exhibition.app.client.get(path, headers=BROWSER | KEY)
    body = exhibition.app.client.get(path, headers=KEY)

    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert page.headers["Content-Security-Policy"] == PAGE_POLICY
    assert page.headers["Cache-Control"] == "no-store"
    assert "/gallery" in Elements(page.text).links()
    assert "<script" not in page.text
    assert (body.status_code, body.mimetype) == (status, "application/json")
    assert body.json["error"]["message"]


def test_deleted_objects_have_their_own_page(exhibition: Exhibition) -> None:
    """Its status is 410, and a failure of the server is a page, too."""
    application = exhibition.app.client.application
    for error, status, title in ((Gone("It was deleted."), 410, "No longer here"), (ValueError(), 500, "went wrong")):
        with application.test_request_context("/c/plain", headers=BROWSER):
            response = application.make_response(application.handle_user_exception(error))
        assert (response.status_code, response.mimetype) == (status, "text/html")
        assert title in response.get_data(as_text=True)


def test_the_cursor_leads_through_the_whole_collection(exhibition: Exhibition) -> None:
    """Each picture is shown once, in order; the last page leads back."""
    path, names = "/c/long", []
    while path:
        page = exhibition.app.client.get(path, headers=BROWSER | KEY).text
        names += re.findall(r'class="caption-name" dir="auto">(Number \d+)<', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        path = f"/c/long{unescape(following[1])}" if following else ""

    assert names == [f"Number {number}" for number in range(exhibition.long.token_count)]
    assert "Back to the first page" in page


def test_hostile_texts_are_shown_as_texts(exhibition: Exhibition) -> None:
    """In names, descriptions, attributes, prompts, models and profiles; no link runs a script."""
    pages = {path: elements(exhibition.app, path, **KEY) for path in exhibition.paths}

    for path in (path_of(exhibition.hostile), "/c/hostile", f"/u/{exhibition.address}", "/gallery"):
        assert HOSTILE in pages[path].text, path
    assert pages[path_of(exhibition.hostile)].text.count(HOSTILE) >= 6
    assert f"{PROMPT}" in pages[path_of(exhibition.hostile)].text
    for page in pages.values():
        assert not [link for link in page.links() if link.startswith(("javascript:", "data:"))]
        assert not [attributes for tag, attributes in page.found if tag == "img" and attributes.get("src") == "x"]


def test_a_private_prompt_is_shown_to_its_owner_only(exhibition: Exhibition) -> None:
    """Others see neither the prompt nor the inputs, and cannot make the picture again."""
    path = path_of(exhibition.private)
    others = {"x-api-key": exhibition.app.stores.api_keys.create("bob")}
    own = elements(exhibition.app, path, **KEY)
    hidden = [elements(exhibition.app, path, **others), elements(exhibition.public, path)]

    assert "a secret" in own.text
    assert "only you see" in own.text
    for page in hidden:
        assert "a secret" not in page.text
        assert "424242" not in page.text
        assert "The prompt is private" in page.text
        assert not [link for link in page.links() if "console/make?" in link]


def test_make_again_fills_the_form_of_the_console(exhibition: Exhibition) -> None:
    """A reader who is signed in gets the link; its form has the prompt and the inputs."""
    path = path_of(exhibition.hostile)
    assert not [link for link in elements(exhibition.public, path).links() if "console/make?" in link]
    again = next(link for link in elements(exhibition.app, path, **KEY).links() if "console/make?" in link)

    form = elements(exhibition.app, again, **KEY)
    assert PROMPT in form.text
    values = {each.get("data-input"): each.get("value") for tag, each in form.found if tag == "input"}
    assert (values["width"], values["steps"], values["seed"]) == ("512", "7", "424242")


def test_a_picture_that_cannot_be_made_again_says_why(exhibition: Exhibition) -> None:
    """A model or the site is missing; readers without a key do not see the reason."""
    record = provenance("a lost style") | {"site": {"name": "lost", "title": "Lost", "recipe": None}}
    token = add_token(exhibition.app.stores, "empty", "Lost", provenance=record)

    assert "there is no site 'lost' here any more" in elements(exhibition.app, path_of(token), **KEY).text
    assert "any more" not in elements(exhibition.public, path_of(token)).text
    exhibition.app.stores.gallery.tokens.delete("owner", token.token_id)


def test_links_show_their_picture_in_chats(exhibition: Exhibition) -> None:
    """OpenGraph and oEmbed have absolute URLs; explicit pictures are in neither."""
    client = exhibition.public.client
    path = path_of(exhibition.plain)
    meta = elements(exhibition.public, path).meta()
    image = f"{PUBLIC_URL}/images/asset/{'a' * 21}.png"
    assert meta["og:title"] == "Lighthouse"
    assert meta["og:description"] == "At dusk."
    assert meta["og:url"] == f"{PUBLIC_URL}{path}"
    assert (meta["og:image"], meta["og:image:width"], meta["og:image:height"]) == (image, "640", "480")
    assert meta["twitter:card"] == "summary_large_image"
    for address in ("/c/plain", "/gallery"):
        assert elements(exhibition.public, address).meta()["og:image"] == image

    page = elements(exhibition.public, path)
    discovery = next(each for tag, each in page.found if tag == "link" and each.get("rel") == "alternate")
    described = client.get(str(discovery["href"]).removeprefix(PUBLIC_URL)).json
    assert described["version"] == "1.0"
    photo = {name: described[name] for name in ("type", "url", "width", "height", "title", "author_name")}
    expected = {"type": "photo", "url": image, "width": 640, "height": 480}
    assert photo == expected | {"title": "Lighthouse", "author_name": "<b>Mara</b>"}

    explicit = path_of(exhibition.explicit)
    for address in (explicit, "/c/explicit"):
        assert "og:image" not in elements(exhibition.public, address).meta()
        body = client.get("/oembed", query_string={"url": f"{PUBLIC_URL}{address}"}).json
        assert body["type"] == "link"
        assert "e" * 20 not in json.dumps(body)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"url": f"{PUBLIC_URL}/gallery", "format": "xml"}, 501),
        ({"url": "https://elsewhere.example/c/plain"}, 404),
        ({"url": "https://pictures.example/c/plain"}, 404),
        ({"url": f"{PUBLIC_URL}/c/nothing"}, 404),
        ({"url": f"{PUBLIC_URL}/api/v1/jobs"}, 404),
        ({"url": "https://["}, 404),
        ({"url": "x" * 3000}, 400),
        ({"url": f"{PUBLIC_URL}/c/plain", "maxwidth": "-1"}, 400),
        ({"url": f"{PUBLIC_URL}/c/plain", "maxwidth": "9" * 30}, 400),
        ({"url": f"{PUBLIC_URL}/c/plain"}, 200),
        ({"url": f"{PUBLIC_URL}/gallery"}, 200),
    ],
)
def test_oembed_refuses_what_it_cannot_describe(exhibition: Exhibition, query: dict[str, str], status: int) -> None:
    """Errors are JSON with a message; a gallery that is not public describes nothing without a key."""
    answer = exhibition.public.client.get("/oembed", query_string=query)

    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    assert exhibition.app.client.get("/oembed", query_string=query).status_code == 401


def test_oembed_pictures_fit_into_the_limits(exhibition: Exhibition) -> None:
    """A picture that is too large is described by its thumbnail, or not at all."""
    url = f"{PUBLIC_URL}{path_of(exhibition.plain)}"
    sizes = [
        exhibition.public.client.get("/oembed", query_string={"url": url, "maxwidth": width}).json
        for width in (640, 639, 100)
    ]

    assert [(body["type"], body.get("width")) for body in sizes] == [("photo", 640), ("photo", 512), ("link", None)]


@dataclass
class Visit:
    """What a page has requested, and what its browser has complained about."""

    page: Page
    requested: list[str]
    complaints: list[str]


async def open_visit(browser: Browser, width: int, height: int, scheme: Any) -> Visit:
    """Open an empty page whose browser has scripts of pages turned off."""
    viewport = {"width": width, "height": height}
    context = await browser.new_context(viewport=viewport, color_scheme=scheme, extra_http_headers=KEY)
    page = await context.new_page()
    visit = Visit(page, [], [])

    def note_request(request: Request) -> None:
        visit.requested.append(request.url)

    page.on("request", note_request)
    page.on("dialog", lambda dialog: visit.complaints.append(dialog.message))
    page.on("console", lambda message: visit.complaints.append(message.text))
    return visit


def test_every_page_is_accessible_and_fits_the_window(exhibition: Exhibition) -> None:
    """Nothing is found by axe, nothing is wider than the window, and nothing comes from elsewhere; light and dark."""
    found: list[str] = []

    async def look(browser: Browser, url: str) -> None:
        for width, height, scheme in SIZES:
            visit = await open_visit(browser, width, height, scheme)
            for path in exhibition.paths:
                await visit.page.goto(url + path, wait_until="load")
                result = await Axe().run(visit.page)
                found.extend(f"{path} {width} {issue['id']}" for issue in result.response["violations"])
                pictures = "[...document.images].filter(image => image.complete && !image.naturalWidth).length"
                if await visit.page.evaluate(pictures):
                    found.append(f"{path} has a broken picture")
                if await visit.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                    found.append(f"{path} is wider than {width}")
            found.extend(f"requested {each}" for each in visit.requested if not each.startswith(url))
            found.extend(visit.complaints)

    with serve_app(exhibition.app.client.application) as url:
        shared_browser.run_with_browser(lambda browser: look(browser, url), TIMEOUT_S)

    assert found == []


def test_explicit_pictures_are_loaded_after_a_click_only(exhibition: Exhibition) -> None:
    """Without a script, in lists and on the picture's own page, by pointer and by keyboard."""

    async def visit_pages(browser: Browser, url: str) -> list[list[str]]:
        loaded = []
        for path, key in (("/gallery", None), ("/c/explicit", "Enter"), (path_of(exhibition.explicit), "Enter")):
            visit = await open_visit(browser, 1440, 900, "light")
            await visit.page.goto(url + path, wait_until="networkidle")
            assert not [each for each in visit.requested if "e" * 20 in each], path
            summary = visit.page.locator("summary").first
            async with visit.page.expect_request(lambda request: "e" * 20 in request.url):
                await (summary.press(key) if key else summary.click())
            loaded.append([each.rpartition("/")[2] for each in visit.requested if "e" * 20 in each])
        return loaded

    with serve_app(exhibition.app.client.application) as url:
        loaded = shared_browser.run_with_browser(lambda browser: visit_pages(browser, url), TIMEOUT_S)

    assert loaded == [[f"{'e' * 20}s.webp"]] * 2 + [[f"{'e' * 21}.png"]]


def test_the_keyboard_reaches_everything(exhibition: Exhibition) -> None:
    """The first stop skips to the content; each stop is visible and is shown to have the focus."""

    async def walk(browser: Browser, url: str) -> list[str]:
        visit = await open_visit(browser, 1440, 900, "light")
        await visit.page.goto(f"{url}/c/explicit", wait_until="domcontentloaded")
        stops = []
        for _ in range(10):
            await visit.page.keyboard.press("Tab")
            focused = await visit.page.evaluate(
                "(e => [e.textContent.trim().replace(/\\s+/g, ' '), getComputedStyle(e).outlineStyle])"
                "(document.activeElement)"
            )
            stops.append(focused[0])
            assert focused[1] != "none", focused
            if focused[0] == "Study":
                break
        await visit.page.goto(f"{url}/gallery", wait_until="domcontentloaded")
        await visit.page.keyboard.press("Tab")
        await visit.page.keyboard.press("Enter")
        assert await visit.page.evaluate("document.activeElement.id") == "content"
        return stops

    with serve_app(exhibition.app.client.application) as url:
        stops = shared_browser.run_with_browser(lambda browser: walk(browser, url), TIMEOUT_S)

    assert stops[:5] == ["Skip to the content", "Darkroom", "Pictures", "Collections", "Console"]
    assert stops[-2:] == ["Explicit Show the picture “Study”", "Study"]
