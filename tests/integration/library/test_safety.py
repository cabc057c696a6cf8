"""The library on a network: who may do what, from which page, and that no part of an address leads anywhere else.

The routes are those that the application has: one that is new is tested without a word here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Rule

from ops.infra.settings import Settings
from schemas.library.scan_records import FileOnDisk
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.support.hostile_models import write_bombs
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import write_safetensors
from workers.library.scanner.read_file import read_model_file
from workers.library.scanner.walk import FolderWalk

CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
OURS = {"Sec-Fetch-Site": "same-origin"}
# What a page of somebody else's makes a browser send, and what a program that has only the cookie does.
FOREIGN: list[dict[str, str]] = [
    {},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost.evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
]
LIBRARY = (
    "/api/models/",
    "/api/v1/models/",
    "/api/images/",
    "/api/v1/images/",
    "/api/v1/library/",
    "/api/v1/scan/",
    "/api/v1/auth/",
    "/api/session/",
)
BODIES: list[dict[str, Any]] = [
    {"json": {"notes": "x"}},
    {"data": '{"notes": "x"}', "content_type": "text/plain"},
    {"data": {"notes": "x", "key": API_KEY}},
    {"data": b"x", "content_type": "multipart/form-data; boundary=x"},
]


@pytest.fixture
def shelf(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """A front with a model that has notes and a picture."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "a.safetensors")
    with open_library_app(settings, folder) as shelf:
        shelf.scan()
        ident = shelf.find_id("a")
        shelf.patch(ident, notes="mine")
        shelf.stores.library.images.add(ident, None, {"nsfw_level": 0, "params": {}, "prompt": "mine"})
        yield shelf


def rules(app: AppClient) -> list[Rule]:
    """All that the application answers to."""
    return list(app.client.application.url_map.iter_rules())


def library_rules(app: AppClient) -> list[Rule]:
    """Those of the library."""
    return [rule for rule in rules(app) if f"{rule.rule}/".startswith(LIBRARY)]


def url_of(rule: Rule, value: str = "1") -> str:
    """An address of a rule, with ``value`` for each of its parts; those of jobs are ids."""
    plain = re.sub(r"<job_id:[^<>]+>", "0" * 32, rule.rule)
    return re.sub(r"<(?:[^<>]+:)?[^<>:]+>", value, plain)


def changes(each: list[Rule]) -> Iterator[tuple[str, str]]:
    """Method and address of everything that changes something."""
    for rule in each:
        for method in sorted((rule.methods or set()) & CHANGING):
            yield method, url_of(rule)


def is_untouched(shelf: LibraryApp) -> bool:
    """Whether everything is as it was."""
    model = shelf.get("/1")
    [image] = shelf.get("/1/images")
    return (model["notes"], image["prompt"], shelf.stores.scan_requests.claim(0.01)) == ("mine", "mine", [])


def test_no_page_of_others_changes_anything(shelf: LibraryApp) -> None:
    """Whoever is signed in, with whatever body; of the whole application no route is left out."""
    client = shelf.app.client
    assert client.post("/api/session", json={"key": API_KEY}).status_code == 200
    asked = list(changes(rules(shelf.app)))
    assert len(asked) > 20
    for method, url in asked:
        for headers in FOREIGN:
            for body in BODIES if "models" in url else BODIES[:1]:
                if (method, url) == ("POST", "/api/session") and not headers:
                    # To sign in is for programs too.
                    continue
                answer = client.open(url, method=method, headers=headers, **body)
                assert answer.status_code in (401, 403), (method, url, headers, answer.status_code)
                assert "Access-Control-Allow-Credentials" not in answer.headers
    assert client.get("/api/session").status_code == 200
    assert is_untouched(shelf)


def test_who_is_signed_in_changes_things_from_our_pages(shelf: LibraryApp) -> None:
    """Each of these routes is reached, so that the test above is one of what is forbidden there."""
    client = shelf.app.client
    client.post("/api/session", json={"key": API_KEY})
    reachable = [rule for rule in library_rules(shelf.app) if not rule.rule.startswith("/api/v1/")]
    seen = [(method, url) for method, url in changes(reachable) if "session" not in url]
    assert {url.replace("1", "N") for _, url in seen} == {
        *("/api/models/N", "/api/models/N/images", "/api/models/N/images/N"),
    }
    for method, url in sorted(seen, key=lambda one: one[0], reverse=True):
        answer = client.open(
            url, method=method, headers=OURS, json={"prompt": "x"} if "images/" in url else {"jobId": "x"}
        )
        assert answer.status_code in (200, 400, 404), (method, url, answer.json)
    assert client.get("/api/models/1/images").json == []


def test_the_cookie_is_nothing_below_api_v1(shelf: LibraryApp) -> None:
    """By no method, from no page."""
    client = shelf.app.client
    client.post("/api/session", json={"key": API_KEY})
    for rule in rules(shelf.app):
        if rule.rule.startswith("/api/v1/"):
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
                answer = client.open(url_of(rule), method=method, headers=OURS)
                assert answer.status_code == 401, (method, rule.rule)
    assert is_untouched(shelf)


def test_reading_changes_nothing(shelf: LibraryApp) -> None:
    """No GET of the library is more than a look."""
    for rule in library_rules(shelf.app):
        if "GET" in (rule.methods or set()) and "events" not in rule.rule:
            answer = shelf.request("GET", url_of(rule), query_string={"notes": "x", "full": "true"})
            assert answer.status_code in (200, 401, 404), rule.rule
    assert is_untouched(shelf)


def test_a_key_that_may_read_changes_nothing(shelf: LibraryApp) -> None:
    """403 with the scope that is lacking; of keys, only its own may be replaced."""
    reader = shelf.create_reader_key()
    assert shelf.request("GET", "/1", key=reader).status_code == 200
    for method, url in changes(library_rules(shelf.app)):
        if "session" in url or url.endswith("/auth/regenerate"):
            continue
        answer = shelf.request(method, url, key=reader, json={"notes": "x"})
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), (method, url)
        assert "'library'" in answer.json["error"]
    assert is_untouched(shelf)


def test_nobody_reads_without_a_key(shelf: LibraryApp) -> None:
    """Any value of the cookie is as good as none, and so is a key that is nobody's."""
    client = shelf.app.client
    for rule in library_rules(shelf.app):
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            if rule.rule.startswith("/api/session"):
                continue
            for headers in (
                {},
                {"Cookie": "darkroom_session=x; mm_session=x"},
                {"Authorization": "Bearer " + "0" * 64},
            ):
                answer = client.open(url_of(rule), method=method, headers={**OURS, **headers})
                assert answer.status_code == 401, (method, rule.rule)
                assert answer.json["error"] == "Missing or invalid Authorization header"


PLACES = (
    *("..", "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%252e%252e%252f"),
    *("%2fetc%2fpasswd", "/etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "..%5c..%5cwindows", "%00", "1%00", "%001"),
    *("%c0%ae%c0%ae%2f", "%ff%fe", "%ed%a0%80", "%EF%BC%8E%EF%BC%8E%EF%BC%8F", "%EF%BC%91", "%D9%A1", "%E2%81%84"),
    *(
        "1.0",
        "1e3",
        "-1",
        "+1",
        "0x1",
        "%201",
        "1%20",
        "1%0a",
        "1%0d%0aX: y",
        "1;x=1",
        "1'",
        "1%20OR%201=1",
        "*",
        "~root",
    ),
    *("9" * 400, "a" * 4000, "true", "null", "NaN", "%7B%7D", "__proto__", "con", "%E2%80%AE1"),
)


def test_no_part_of_an_address_leads_anywhere(shelf: LibraryApp) -> None:
    """Nothing but the number of something is one: the rest is no such address, in the library's shape."""
    asked = 0
    for rule in library_rules(shelf.app):
        if not rule.arguments:
            continue
        for place in PLACES:
            url = url_of(rule, place)
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                answer = shelf.request(method, url, json={})
                assert answer.status_code in (400, 404, 405), (method, url[:100], answer.status_code)
                assert answer.mimetype == "application/json", url[:100]
                assert isinstance(json.loads(answer.data)["error"], str | dict), url[:100]
                assert b"root:" not in answer.data
                asked += 1
    assert asked > 500
    assert is_untouched(shelf)


def test_no_parameter_leads_anywhere(shelf: LibraryApp) -> None:
    """All that the description names, on every route: an answer, or what is wrong with it."""
    spec = shelf.app.client.get("/openapi.json").json
    values = (
        "../../etc/passwd",
        "/etc/passwd",
        "\0",
        "'; --",
        "\u202e",
        "9" * 30,
        "-1",
        "NaN",
        "true",
        "[]",
        "%",
        "",
        "a" * 5000,
    )
    asked = 0
    for path, methods in spec["paths"].items():
        if not f"{path}/".startswith(LIBRARY) or "get" not in methods or "events" in path:
            continue
        named = [one["name"] for one in methods["get"].get("parameters", []) if one["in"] == "query"]
        for name in named:
            for value in values:
                answer = shelf.request("GET", re.sub(r"{\w+}", "1", path), query_string={name: value})
                assert answer.status_code in (200, 400, 404), (path, name, value[:20], answer.status_code)
                assert b"root:" not in answer.data
                asked += 1
    assert asked > 200


def test_errors_have_one_shape(shelf: LibraryApp) -> None:
    """On every address of the library and with every method, also those that nobody answers to."""
    for rule in library_rules(shelf.app):
        for method in (*CHANGING, "GET", "TRACE", "PROPFIND"):
            answer = shelf.request(method, url_of(rule, "x"), key="wrong", data=b"{", content_type="application/json")
            assert 400 <= answer.status_code < 500, (method, rule.rule)
            assert set(answer.json) - {"details"} == {"error", "code", "requestId"}, (method, rule.rule)
            assert isinstance(answer.json["error"], str)


def test_views_are_short() -> None:
    """Ten lines or fewer; what is longer is a function of its own."""
    source = [
        Path(part).read_text()
        for part in (
            "api/library/models.py",
            "api/library/images.py",
            "api/library/scans_and_report.py",
            "api/accounts/sessions.py",
        )
    ]
    parts = [part for text in source for part in re.split(r"\n@\w*blueprint\.route", text)[1:]]
    views = [part for part in parts if '"""' in part]
    assert len(views) > 15
    for view in views:
        body = re.split(r'""".*?"""\n', view, maxsplit=1, flags=re.DOTALL)[1]
        lines = body.partition("\n\n")[0].splitlines()
        assert len([line for line in lines if not line.strip().startswith("#")]) <= 10, view[:200]


def test_a_header_that_is_a_bomb_is_refused(tmp_path: Path) -> None:
    """Whatever a header or a sidecar would cost: it is told what is wrong with it, and the file is listed."""
    expected = write_bombs(tmp_path)
    told: dict[str, str] = {}
    found = list(FolderWalk(tmp_path, [tmp_path]).run())
    for one in found:
        assert isinstance(one, FileOnDisk)
        seen = read_model_file(one, [tmp_path])
        assert seen
        told |= {problem.subject.decode(): problem.code for problem in seen.problems}
    assert told == expected
    assert len(found) == 12
