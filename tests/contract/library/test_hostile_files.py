"""Hostile files and texts in SQLite and PostgreSQL: indexed, found, served as valid JSON, and harmless."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, update

from ops.infra.settings import Settings
from stores.library import tables
from tests.support.hostile_models import HOSTILE_TEXTS, HOSTILE_VALUES, write_hostile_models
from tests.support.library import LibraryApp, open_library_app

FORBIDDEN_CHARS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Fields that accept the same texts are edited together.
FIELDS = (
    ("name",),
    ("type", "baseModel", "creator"),
    ("notes", "description"),
    ("tags", "trainedWords"),
    ("nsfwLevel",),
)
LISTS = ("tags", "trainedWords")


@pytest.fixture
def library(engine: Engine, settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app on either database, with an empty library."""
    url = engine.url.render_as_string(hide_password=False)
    with open_library_app(replace(settings, database_url=url), tmp_path / "models") as library:
        yield library


def get_json(library: LibraryApp, path: str, statuses: tuple[int, ...] = (200,), **query: Any) -> Any:
    """Return the JSON of a response; fail if it is not strict JSON or contains characters that must be removed."""
    response = library.request("GET", path, query_string=query)
    assert (response.status_code in statuses, response.mimetype) == (True, "application/json"), (
        path,
        query,
        response.json,
    )
    document = json.loads(response.get_data(as_text=True), parse_constant=pytest.fail)
    for text in all_texts(document):
        assert not FORBIDDEN_CHARS.search(text), (path, text[:80])
    return document


def all_texts(document: Any) -> Iterator[str]:
    """Yield all texts of a JSON value except file names, which are shown unchanged."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        names = ("path", "localPath", "filePath", "fileName", "subject")
        yield from (text for name, inner in document.items() if name not in names for text in all_texts(inner))
    elif isinstance(document, list):
        yield from (text for inner in document for text in all_texts(inner))


def test_hostile_files_are_indexed_and_served(library: LibraryApp) -> None:
    """One scan indexes all of them and reports their problems; every response about them is valid."""
    count = write_hostile_models(library.folder)
    progress = library.scan()
    assert (progress.phase, progress.counts.added) == ("done", count)
    assert library.scan().read == 0
    report = get_json(library, "/api/v1/library/report", limit=500)
    assert {problem["code"] for problem in report["problems"]} >= {"path_too_long"}

    model_ids, cursor = [], ""
    while cursor is not None:
        page = get_json(
            library, "", include="versions", sort="name", limit=100, **({"cursor": cursor} if cursor else {})
        )
        model_ids += [model["id"] for model in page["items"]]
        cursor = page["nextCursor"]
    assert len(model_ids) == len(set(model_ids)) == page["total"] == report["counts"]["models"]
    get_json(library, "/filters")
    for model_id in model_ids:
        model = get_json(library, f"/{model_id}")
        assert not re.search(r"<[^>]*(script|onerror|img|svg|style)", model["description"] or "")
        assert not any(
            BIDI_CONTROLS.search(text) or "\n" in text
            for text in (model["name"], *model["tags"], *model["trainedWords"])
        )
        assert len(model["name"]) <= 2000
        sent = library.request("HEAD", f"/{model_id}/download")
        assert (sent.status_code, sent.headers["Content-Disposition"].isascii()) == (200, True)
        assert "\n" not in sent.headers["Content-Disposition"] + sent.headers["ETag"]
        for version in model["versions"]:
            for image in version["images"]:
                assert get_json(library, f"/{model_id}/images/{image['id']}")["uses"].keys() == {"have", "lack"}


def test_hostile_query_parameters_cause_no_server_error(library: LibraryApp) -> None:
    """Every parameter of a list is answered or rejected with a message."""
    (library.folder / "a.ckpt").write_bytes(b"\x80")
    library.scan()
    equal = ("category", "baseModel", "type", "subcategory", "tags", "include")
    for hostile in HOSTILE_TEXTS.values():
        text = hostile[:150].encode(errors="replace").decode()
        for query in (dict.fromkeys(equal, text), {"search": text}, {"sort": text}, {"cursor": text}):
            document = get_json(library, "", (200, 400), **query)
            assert "items" in document or set(document) >= {"error", "code"}
        for search in (
            f"name:{text}",
            f'-tag:"{text}"',
            f"base:{text} creator:{text}",
            f"-{text}",
            f"size:{text}",
        ):
            get_json(library, "", (200, 400), search=search)
    with library.stores.engine.connect() as connection:
        assert connection.execute(select(tables.models.c.id)).first()


def test_user_edits_may_be_hostile(library: LibraryApp, tmp_path: Path) -> None:
    """Every field accepts a text or rejects it with a message; accepted texts are shown and survive a scan."""
    (library.folder / "a.ckpt").write_bytes(b"\x80")
    library.scan()
    [model_id] = [model["id"] for model in get_json(library, "")["items"]]
    accepted = 0
    for value in (*HOSTILE_TEXTS.values(), *HOSTILE_VALUES.values()):
        for names in FIELDS:
            fields = {name: [value] if name in LISTS else value for name in names}
            response = library.request(
                "PATCH", f"/{model_id}", data=json.dumps(fields), content_type="application/json"
            )
            assert response.status_code in (200, 400), (names, str(value)[:50])
            accepted += response.status_code == 200
        get_json(library, f"/{model_id}")
    assert accepted > 60
    library.scan(full=True)
    assert get_json(library, f"/{model_id}")["id"] == model_id


def test_image_params_may_be_hostile(library: LibraryApp) -> None:
    """Prompts and parameters of images are untrusted."""
    (library.folder / "a.ckpt").write_bytes(b"\x80")
    library.scan()
    [model_id] = [model["id"] for model in get_json(library, "")["items"]]
    images = library.stores.library.images
    for text in HOSTILE_TEXTS.values():
        image = images.add(
            model_id, None, {"prompt": text, "params": {"model": text, "other": {text: text}}, "nsfw_level": 0}
        )
        assert library.request("GET", f"/{model_id}/images/{image.id}").status_code == 200
    for value in (*HOSTILE_TEXTS.values(), *HOSTILE_VALUES.values()):
        params = {
            "model": value,
            "resources": [{"type": "lora", "name": value, "hash": value}, value],
            "loras": value,
            "x": value,
        }
        body = json.dumps({"prompt": value if isinstance(value, str) else "x", "generationParams": params})
        response = library.request(
            "PATCH", f"/{model_id}/images/{image.id}", data=body, content_type="application/json"
        )
        assert response.status_code in (200, 400)
        get_json(library, f"/{model_id}/images/{image.id}")


def test_paths_of_the_index_are_not_trusted(library: LibraryApp) -> None:
    """Whatever path a row has, no file outside the library is opened; ids and numbers may be of any size."""
    (library.folder / "a.ckpt").write_bytes(b"\x80")
    library.scan()
    [model_id] = [model["id"] for model in get_json(library, "")["items"]]
    for path, status in ((b"../../etc/passwd", 403), (b"/etc/passwd", 403), (b"a\0b", 404), (b"", 403), (b".", 403)):
        with library.stores.engine.begin() as connection:
            connection.execute(update(tables.files).values(path=path))
        response = library.request("GET", f"/{model_id}/download")
        assert (response.status_code, response.mimetype) == (status, "application/json"), path
        assert str(library.folder) not in response.get_data(as_text=True)
    for number in (2**31, 10**15 - 1):
        assert library.request("GET", f"/{number}").status_code == 404
        assert library.request("GET", f"/{model_id}/download?versionId={number}").status_code == 404
        assert library.request("GET", f"/api/v1/images/{number}").status_code == 404
        assert library.request("PATCH", f"/{number}", json={"notes": "x"}).status_code == 404
        get_json(library, "", search=f"dim:>{number} size:<{number}gib downloads:{number} nsfw:<{number}")
