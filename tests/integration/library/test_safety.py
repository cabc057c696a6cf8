"""Access control of the library: keys and scopes, cross-site requests, hostile paths and parameters.

The routes come from the application, so that new ones are tested too.
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
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
# The headers that browsers send for pages of other sites, and none, as a program with only the cookie sends.
CROSS_SITE: list[dict[str, str]] = [
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
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with a model that has notes and an image."""
    folder = tmp_path / "models"
    write_safetensors(folder / "loras" / "a.safetensors")
    with open_library_app(settings, folder) as library:
        library.scan()
        model_id = library.find_id("a")
        library.patch(model_id, notes="mine")
        library.stores.library.images.add(model_id, None, {"nsfw_level": 0, "params": {}, "prompt": "mine"})
        yield library


def all_rules(app: AppClient) -> list[Rule]:
    """Return all URL rules of the app."""
    return list(app.client.application.url_map.iter_rules())


def library_rules(app: AppClient) -> list[Rule]:
    """Return the URL rules of the library."""
    return [rule for rule in all_rules(app) if f"{rule.rule}/".startswith(LIBRARY)]


def url_of(rule: Rule, value: str = "1") -> str:
    """Return a URL of a rule with ``value`` for each parameter; job ids are valid ones."""
    plain = re.sub(r"<job_id:[^<>]+>", "0" * 32, rule.rule)
    return re.sub(r"<(?:[^<>]+:)?[^<>:]+>", value, plain)


def unsafe_requests(each: list[Rule]) -> Iterator[tuple[str, str]]:
    """Yield method and URL of every request that changes something."""
    for rule in each:
        for method in sorted((rule.methods or set()) & CHANGING):
            yield method, url_of(rule)


def is_unchanged(library: LibraryApp) -> bool:
    """Whether notes and image are unchanged and no scan was requested."""
    model = library.get("/1")
    [image] = library.get("/1/images")
    return (model["notes"], image["prompt"], library.stores.scan_requests.claim(0.01)) == ("mine", "mine", [])


def test_cross_site_requests_change_nothing(library: LibraryApp) -> None:
    """They have a valid session cookie and any body, and try every route of the app."""
    client = library.app.client
    assert client.post("/api/session", json={"key": API_KEY}).status_code == 200
    requests = list(unsafe_requests(all_rules(library.app)))
    assert len(requests) > 20
    for method, url in requests:
        for headers in CROSS_SITE:
            for body in BODIES if "models" in url else BODIES[:1]:
                if (method, url) == ("POST", "/api/session") and not headers:
                    # Programs may sign in too.
                    continue
                response = client.open(url, method=method, headers=headers, **body)
                assert response.status_code in (401, 403), (method, url, headers, response.status_code)
                assert "Access-Control-Allow-Credentials" not in response.headers
    assert client.get("/api/session").status_code == 200
    assert is_unchanged(library)


def test_same_origin_requests_with_a_session_are_accepted(library: LibraryApp) -> None:
    """Thus the test above does not fail for another reason."""
    client = library.app.client
    client.post("/api/session", json={"key": API_KEY})
    session_rules = [rule for rule in library_rules(library.app) if not rule.rule.startswith("/api/v1/")]
    urls = [(method, url) for method, url in unsafe_requests(session_rules) if "session" not in url]
    assert {url.replace("1", "N") for _, url in urls} == {
        *("/api/models/N", "/api/models/N/images", "/api/models/N/images/N"),
    }
    for method, url in sorted(urls, key=lambda entry: entry[0], reverse=True):
        response = client.open(
            url, method=method, headers=SAME_ORIGIN, json={"prompt": "x"} if "images/" in url else {"jobId": "x"}
        )
        assert response.status_code in (200, 400, 404), (method, url, response.json)
    assert client.get("/api/models/1/images").json == []


def test_get_requests_change_nothing(library: LibraryApp) -> None:
    """Their parameters do not matter."""
    for rule in library_rules(library.app):
        if "GET" in (rule.methods or set()) and "events" not in rule.rule:
            response = library.request("GET", url_of(rule), query_string={"notes": "x", "full": "true"})
            assert response.status_code in (200, 401, 404), rule.rule
    assert is_unchanged(library)


def test_a_read_only_key_changes_nothing(library: LibraryApp) -> None:
    """The status is 403 and the message names the missing scope."""
    reader_key = library.create_reader_key()
    assert library.request("GET", "/1", key=reader_key).status_code == 200
    for method, url in unsafe_requests(library_rules(library.app)):
        if "session" in url or url.endswith("/auth/regenerate"):
            continue
        response = library.request(method, url, key=reader_key, json={"notes": "x"})
        assert (response.status_code, response.json["code"]) == (403, "forbidden"), (method, url)
        assert "'library'" in response.json["error"]
    assert is_unchanged(library)


def test_nothing_is_read_without_a_key(library: LibraryApp) -> None:
    """Invalid cookies and keys are rejected."""
    client = library.app.client
    for rule in library_rules(library.app):
        for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}:
            if rule.rule.startswith("/api/session"):
                continue
            for headers in (
                {},
                {"Cookie": "darkroom_session=x; mm_session=x"},
                {"Authorization": "Bearer " + "0" * 64},
            ):
                response = client.open(url_of(rule), method=method, headers={**SAME_ORIGIN, **headers})
                assert response.status_code == 401, (method, rule.rule)
                assert response.json["error"] == "Missing or invalid Authorization header"


HOSTILE_VALUES = (
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


def test_hostile_path_parameters_are_rejected(library: LibraryApp) -> None:
    """Anything but the id of an existing object gets an error in the format of the library."""
    requests = 0
    for rule in library_rules(library.app):
        if not rule.arguments:
            continue
        for value in HOSTILE_VALUES:
            url = url_of(rule, value)
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                response = library.request(method, url, json={})
                assert response.status_code in (400, 404, 405), (method, url[:100], response.status_code)
                assert response.mimetype == "application/json", url[:100]
                assert isinstance(json.loads(response.data)["error"], str | dict), url[:100]
                assert b"root:" not in response.data
                requests += 1
    assert requests > 500
    assert is_unchanged(library)


def test_hostile_query_parameters_are_answered_or_rejected(library: LibraryApp) -> None:
    """All documented parameters of all routes are tried."""
    spec = library.app.client.get("/openapi.json").json
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
    requests = 0
    for path, methods in spec["paths"].items():
        if not f"{path}/".startswith(LIBRARY) or "get" not in methods or "events" in path:
            continue
        names = [entry["name"] for entry in methods["get"].get("parameters", []) if entry["in"] == "query"]
        for name in names:
            for value in values:
                response = library.request("GET", re.sub(r"{\w+}", "1", path), query_string={name: value})
                assert response.status_code in (200, 400, 404), (path, name, value[:20], response.status_code)
                assert b"root:" not in response.data
                requests += 1
    assert requests > 200


def test_errors_have_one_format(library: LibraryApp) -> None:
    """This holds for every URL of the library and every method, supported or not."""
    for rule in library_rules(library.app):
        for method in (*CHANGING, "GET", "TRACE", "PROPFIND"):
            response = library.request(
                method, url_of(rule, "x"), key="wrong", data=b"{", content_type="application/json"
            )
            assert 400 <= response.status_code < 500, (method, rule.rule)
            assert set(response.json) - {"details"} == {"error", "code", "requestId"}, (method, rule.rule)
            assert isinstance(response.json["error"], str)


def test_views_are_short() -> None:
    """They have at most ten lines."""
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


def test_headers_and_sidecars_that_are_bombs_are_rejected(tmp_path: Path) -> None:
    """Each has a problem in the report, and the file is listed."""
    expected = write_bombs(tmp_path)
    codes: dict[str, str] = {}
    files = list(FolderWalk(tmp_path, [tmp_path]).run())
    for entry in files:
        assert isinstance(entry, FileOnDisk)
        urls = read_model_file(entry, [tmp_path])
        assert urls
        codes |= {problem.subject.decode(): problem.code for problem in urls.problems}
    assert codes == expected
    assert len(files) == 12
