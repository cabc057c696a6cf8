"""Files and words that mean harm, in SQLite and in PostgreSQL: indexed, found, shown as valid JSON, and harmless."""

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

UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Those that take the same texts, together.
FIELDS = (
    ("name",),
    ("type", "baseModel", "creator"),
    ("notes", "description"),
    ("tags", "trainedWords"),
    ("nsfwLevel",),
)
LISTS = ("tags", "trainedWords")


@pytest.fixture
def shelf(engine: Engine, settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """A front on either database, with an empty library."""
    url = engine.url.render_as_string(hide_password=False)
    with open_library_app(replace(settings, database_url=url), tmp_path / "models") as shelf:
        yield shelf


def read(shelf: LibraryApp, path: str, statuses: tuple[int, ...] = (200,), **query: Any) -> Any:
    """An answer that is JSON as every reader takes it."""
    answer = shelf.request("GET", path, query_string=query)
    assert (answer.status_code in statuses, answer.mimetype) == (True, "application/json"), (path, query, answer.json)
    said = json.loads(answer.get_data(as_text=True), parse_constant=pytest.fail)
    for text in texts(said):
        assert not UNWANTED.search(text), (path, text[:80])
    return said


def texts(said: Any) -> Iterator[str]:
    """All texts of a JSON value but names of files, which are shown as they are."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict):
        names = ("path", "localPath", "filePath", "fileName", "subject")
        yield from (text for name, inner in said.items() if name not in names for text in texts(inner))
    elif isinstance(said, list):
        yield from (text for inner in said for text in texts(inner))


def test_files_that_mean_harm_are_a_library_like_any_other(shelf: LibraryApp) -> None:
    """All are indexed, by one scan and with what is wrong in the report; every answer about them is right."""
    count = write_hostile_models(shelf.folder)
    progress = shelf.scan()
    assert (progress.phase, progress.counts.added) == ("done", count)
    assert shelf.scan().read == 0
    report = read(shelf, "/api/v1/library/report", limit=500)
    assert {one["code"] for one in report["problems"]} >= {"path_too_long"}

    ids, cursor = [], ""
    while cursor is not None:
        page = read(shelf, "", include="versions", sort="name", limit=100, **({"cursor": cursor} if cursor else {}))
        ids += [one["id"] for one in page["items"]]
        cursor = page["nextCursor"]
    assert len(ids) == len(set(ids)) == page["total"] == report["counts"]["models"]
    read(shelf, "/filters")
    for ident in ids:
        model = read(shelf, f"/{ident}")
        assert not re.search(r"<[^>]*(script|onerror|img|svg|style)", model["description"] or "")
        assert not any(
            TURNING.search(one) or "\n" in one for one in (model["name"], *model["tags"], *model["trainedWords"])
        )
        assert len(model["name"]) <= 2000
        sent = shelf.request("HEAD", f"/{ident}/download")
        assert (sent.status_code, sent.headers["Content-Disposition"].isascii()) == (200, True)
        assert "\n" not in sent.headers["Content-Disposition"] + sent.headers["ETag"]
        for version in model["versions"]:
            for image in version["images"]:
                assert read(shelf, f"/{ident}/images/{image['id']}")["uses"].keys() == {"have", "lack"}


def test_words_that_mean_harm_are_words(shelf: LibraryApp) -> None:
    """In every parameter of a list: answered, or refused with what is wrong; never a fault."""
    (shelf.folder / "a.ckpt").write_bytes(b"\x80")
    shelf.scan()
    equal = ("category", "baseModel", "type", "subcategory", "tags", "include")
    for text in HOSTILE_TEXTS.values():
        asked = text[:150].encode(errors="replace").decode()
        for query in (dict.fromkeys(equal, asked), {"search": asked}, {"sort": asked}, {"cursor": asked}):
            said = read(shelf, "", (200, 400), **query)
            assert "items" in said or set(said) >= {"error", "code"}
        for search in (
            f"name:{asked}",
            f'-tag:"{asked}"',
            f"base:{asked} creator:{asked}",
            f"-{asked}",
            f"size:{asked}",
        ):
            read(shelf, "", (200, 400), search=search)
    with shelf.stores.engine.connect() as connection:
        assert connection.execute(select(tables.models.c.id)).first()


def test_what_people_write_may_mean_harm(shelf: LibraryApp, tmp_path: Path) -> None:
    """Every field takes every text, or says why not; what it took is shown, found and survives a scan."""
    (shelf.folder / "a.ckpt").write_bytes(b"\x80")
    shelf.scan()
    [ident] = [one["id"] for one in read(shelf, "")["items"]]
    taken = 0
    for value in (*HOSTILE_TEXTS.values(), *HOSTILE_VALUES.values()):
        for names in FIELDS:
            fields = {name: [value] if name in LISTS else value for name in names}
            answer = shelf.request("PATCH", f"/{ident}", data=json.dumps(fields), content_type="application/json")
            assert answer.status_code in (200, 400), (names, str(value)[:50])
            taken += answer.status_code == 200
        read(shelf, f"/{ident}")
    assert taken > 60
    shelf.scan(full=True)
    assert read(shelf, f"/{ident}")["id"] == ident


def test_pictures_may_say_harm(shelf: LibraryApp) -> None:
    """Prompts and parameters of files are strangers' texts too."""
    (shelf.folder / "a.ckpt").write_bytes(b"\x80")
    shelf.scan()
    [ident] = [one["id"] for one in read(shelf, "")["items"]]
    pictures = shelf.stores.library.images
    for text in HOSTILE_TEXTS.values():
        made = pictures.add(
            ident, None, {"prompt": text, "params": {"model": text, "other": {text: text}}, "nsfw_level": 0}
        )
        assert shelf.request("GET", f"/{ident}/images/{made.id}").status_code == 200
    for value in (*HOSTILE_TEXTS.values(), *HOSTILE_VALUES.values()):
        params = {
            "model": value,
            "resources": [{"type": "lora", "name": value, "hash": value}, value],
            "loras": value,
            "x": value,
        }
        body = json.dumps({"prompt": value if isinstance(value, str) else "x", "generationParams": params})
        answer = shelf.request("PATCH", f"/{ident}/images/{made.id}", data=body, content_type="application/json")
        assert answer.status_code in (200, 400)
        read(shelf, f"/{ident}/images/{made.id}")


def test_an_index_that_leads_out_opens_nothing(shelf: LibraryApp) -> None:
    """Whatever path a row has, however large an id or a number is."""
    (shelf.folder / "a.ckpt").write_bytes(b"\x80")
    shelf.scan()
    [ident] = [one["id"] for one in read(shelf, "")["items"]]
    for path, status in ((b"../../etc/passwd", 403), (b"/etc/passwd", 403), (b"a\0b", 404), (b"", 403), (b".", 403)):
        with shelf.stores.engine.begin() as connection:
            connection.execute(update(tables.files).values(path=path))
        answer = shelf.request("GET", f"/{ident}/download")
        assert (answer.status_code, answer.mimetype) == (status, "application/json"), path
        assert str(shelf.folder) not in answer.get_data(as_text=True)
    for number in (2**31, 10**15 - 1):
        assert shelf.request("GET", f"/{number}").status_code == 404
        assert shelf.request("GET", f"/{ident}/download?versionId={number}").status_code == 404
        assert shelf.request("GET", f"/api/v1/images/{number}").status_code == 404
        assert shelf.request("PATCH", f"/{number}", json={"notes": "x"}).status_code == 404
        read(shelf, "", search=f"dim:>{number} size:<{number}gib downloads:{number} nsfw:<{number}")
