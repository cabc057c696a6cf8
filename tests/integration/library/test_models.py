"""The model library over HTTP: what clients of the original and of ours rely on, word for word."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import Settings
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import civitai_model, write_safetensors

STATS = {
    "downloadCount": 1000,
    "thumbsUpCount": 100,
    "thumbsDownCount": 5,
    "commentCount": 10,
    "tippedAmountCount": 500,
}
VERSIONS = [
    {
        "id": 12,
        "name": "v2",
        "baseModel": "SDXL 1.0",
        "publishedAt": "2024-01-01T00:00:00Z",
        "trainedWords": ["wash"],
        "description": "<b>two</b>",
        "stats": {"downloadCount": 7},
        "files": [],
        "images": [
            {
                "url": "https://x.test/a.png",
                "width": 1024,
                "height": 768,
                "nsfwLevel": 2,
                "hash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
                "meta": {},
            }
        ],
    },
    {"id": 11, "name": "v1", "baseModel": "SD 1.5", "trainedWords": ["ink"], "files": []},
]
DESCRIPTION = '<p onclick="x()">Hi <a href="javascript:x">there</a></p><script>x()</script><img src=x onerror=x()>'

# The seed's fields, and after the gap ours.
CARD = {
    *("id", "name", "type", "category", "subcategory", "baseModel", "nsfwLevel", "creatorName", "creatorAvatar"),
    *("tags", "stats", "hasMetadata", "heroImage"),
    *("canRunCode", "civitaiId"),
}
WHOLE = CARD | {
    *("description", "filePath", "fileSize", "trainedWords", "licensingInfo", "notes", "versions"),
    *("modelLevelImages", "negativeWords", "preferredWeight", "sources", "editedAt"),
}
BRIEF = {"id", "name", "baseModel", "isLocal", "localPath", "localFileSize", "files"}
VERSION = BRIEF | {
    *("description", "stats", "publishedAt", "trainedWords", "images"),
    *("civitaiId", "epoch"),
}
FILE = {
    *("id", "fileName", "sizeKb", "format", "precision"),
    *("path", "canRunCode", "isLocal", "problem", "header", "hashState", "hashes"),
}
HERO = {"id", "thumbPath", "width", "height", "nsfwLevel", "blurhash"}
IMAGE = {
    *("id", "localPath", "thumbPath", "width", "height", "nsfwLevel", "prompt", "generationParams", "blurhash"),
    *("sortOrder", "isUserUpload", "modelId", "createdAt"),
    *("versionId", "jobId"),
}


def fill(folder: Path) -> None:
    """A LoRA with all that can be known of one, a checkpoint of which nothing is known, a diffusion model and a VAE."""
    ink = write_safetensors(
        folder / "loras" / "qwen" / "ink-mid_7-vid_12.safetensors", metadata={"ss_network_dim": "16"}
    )
    extra = ink.parent / "extra_data-vid_12"
    extra.mkdir()
    creator = {"username": "ann", "image": "https://x.test/ann.png"}
    told = civitai_model(7, name="Ink", stats=STATS, creator=creator, description=DESCRIPTION, nsfwLevel=3)
    (extra / "model_dict-mid_7-vid_12.json").write_text(json.dumps(told | {"modelVersions": VERSIONS}))
    (extra / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"checkpoint")
    write_safetensors(folder / "diffusion_models" / "flux.safetensors", data=b"diffusion")
    write_safetensors(folder / "vae" / "vae.safetensors", data=b"vae")


@pytest.fixture
def shelf(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """A front with these."""
    fill(tmp_path / "models")
    with open_library_app(settings, tmp_path / "models") as shelf:
        shelf.scan()
        shelf.hash()
        yield shelf


def test_a_list_is_as_the_seed_has_it(shelf: LibraryApp) -> None:
    """The page's fields, a model's, its picture's."""
    page = shelf.get("")
    assert set(page) == {"items", "total", "page", "limit", "hasMore", "nextCursor"}
    assert (page["total"], page["page"], page["limit"], page["hasMore"], page["nextCursor"]) == (4, 1, 40, False, None)
    assert [set(one) for one in page["items"]] == [CARD] * 4
    [ink] = shelf.get("", search="ink")["items"]
    hero = ink.pop("heroImage")
    assert set(hero) == HERO
    assert hero["thumbPath"].startswith("http://127.0.0.1:3000/api/v1/images/")
    assert (hero["width"], hero["height"], hero["nsfwLevel"], hero["blurhash"]) == (
        1024,
        768,
        2,
        "LEHV6nWB2yk8pyo0adR*.7kCMdnj",
    )
    assert ink == {
        "id": ink["id"],
        "name": "Ink",
        "type": "LORA",
        "category": "LoRA",
        "subcategory": "qwen",
        "baseModel": "SDXL 1.0",
        "nsfwLevel": 3,
        "creatorName": "ann",
        "creatorAvatar": "https://x.test/ann.png",
        "tags": ["ink", "style"],
        "stats": STATS,
        "hasMetadata": True,
        "canRunCode": False,
        "civitaiId": 7,
    }
    bare = shelf.get("", search="base")["items"][0]
    assert (bare["heroImage"], bare["stats"], bare["hasMetadata"], bare["subcategory"]) == (None, {}, False, None)


def test_a_model_is_as_the_seed_has_it(shelf: LibraryApp) -> None:
    """With versions, here and not, their files and pictures; who has said what; clean HTML."""
    model = shelf.get(f"/{shelf.find_id('ink')}")
    assert set(model) == WHOLE
    assert model["description"].startswith('<p>Hi <a rel="noopener noreferrer nofollow ugc">there</a></p>')
    assert "script" not in model["description"]
    assert "img" not in model["description"]
    here, elsewhere = model["versions"]
    assert [set(one) for one in model["versions"]] == [VERSION] * 2
    assert (here["name"], here["isLocal"], here["civitaiId"], here["publishedAt"]) == (
        "v2",
        True,
        12,
        "2024-01-01T00:00:00Z",
    )
    assert (here["description"], here["stats"], here["trainedWords"]) == ("<b>two</b>", {"downloadCount": 7}, ["wash"])
    assert (elsewhere["name"], elsewhere["isLocal"], elsewhere["files"], elsewhere["baseModel"]) == (
        "v1",
        False,
        [],
        "SD 1.5",
    )
    [file] = here["files"]
    assert set(file) == FILE
    path = shelf.folder / file["path"]
    assert (file["fileName"], file["format"], file["header"]["dim"]) == (path.name, "SafeTensor", 16)
    assert model["filePath"] == here["localPath"] == "loras/qwen/ink-mid_7-vid_12.safetensors"
    assert model["fileSize"] == here["localFileSize"] == path.stat().st_size == round(file["sizeKb"] * 1024)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file["hashState"], file["hashes"]["SHA256"], file["hashes"]["AutoV2"]) == ("done", sha256, sha256[:10])
    [image] = here["images"]
    assert set(image) == IMAGE
    assert not image["isUserUpload"]
    assert model["sources"]["name"] == "civitdl"
    assert model["editedAt"] == {}


def test_versions_come_with_a_list(shelf: LibraryApp) -> None:
    """Those that are here first."""
    [ink] = shelf.get("", search="ink", include="versions")["items"]
    assert set(ink) == CARD | {"versions"}
    assert [set(one) for one in ink["versions"]] == [BRIEF] * 2
    assert [one["isLocal"] for one in ink["versions"]] == [True, False]
    assert "versions" not in shelf.get("", include="pictures")["items"][0]


def test_a_client_does_what_it_does(shelf: LibraryApp) -> None:
    """The traffic of a node pack of ComfyUI: the test of the key, four categories page by page, a download, a model."""
    assert shelf.request("GET", "?limit=1").status_code == 200
    assert shelf.request("GET", "?limit=1", key="wrong").status_code == 401
    found: dict[str, list[dict[str, Any]]] = {}
    for category in ("Diffusion Model", "Checkpoint", "LoRA", "VAE"):
        number, more = 1, True
        while more:
            page = shelf.get("", category=category, include="versions", limit=100, page=number)
            found.setdefault(category, []).extend(page["items"])
            number, more = number + 1, page["hasMore"]
    assert {name: [one["name"] for one in items] for name, items in found.items()} == {
        "Diffusion Model": ["flux"],
        "Checkpoint": ["base"],
        "LoRA": ["Ink"],
        "VAE": ["vae"],
    }
    for item in (items[0] for items in found.values()):
        assert item["id"] > 0
        local = [one for one in item["versions"] if one["isLocal"]]
        answer = shelf.request("GET", f"/{item['id']}/download?versionId={local[0]['id']}")
        name = re.search(r'filename="?([^";\n]+)"?', answer.headers["Content-Disposition"])
        assert name
        assert (shelf.folder / local[0]["localPath"]).name == name[1]
        assert answer.headers["Content-Disposition"].index("filename=") < answer.headers["Content-Disposition"].index(
            "filename*="
        )
        assert answer.mimetype == "application/octet-stream"
        assert int(answer.headers["Content-Length"]) == local[0]["localFileSize"] == len(answer.data)
        assert shelf.get(f"/{item['id']}")["id"] == item["id"]


REFUSED: list[tuple[str, int, str]] = [
    ("?page=0", 400, "page:"),
    ("?page=-1", 400, "page:"),
    ("?page=abc", 400, "page:"),
    ("?page=1.5", 400, "page:"),
    ("?page=", 400, "page:"),
    ("?page=NaN", 400, "page:"),
    ("?page=99999999", 400, "page: too far"),
    ("?page=" + "9" * 5000, 400, "page:"),
    ("?limit=0", 400, "limit:"),
    ("?limit=-5", 400, "limit:"),
    ("?limit=Infinity", 400, "limit:"),
    ("?maxNsfwLevel=64", 400, "maxNsfwLevel:"),
    ("?maxNsfwLevel=-1", 400, "maxNsfwLevel:"),
    ("?hasMetadata=perhaps", 400, "hasMetadata:"),
    ("?tagsMode=some", 400, "tagsMode:"),
    ("?sort=colour", 400, "sort:"),
    ("?search=has:nothing", 400, "search: has:nothing"),
    ("?search=" + "x" * 501, 400, "search:"),
    ("?cursor=x", 400, "cursor:"),
    ("?cursor=" + "A" * 2001, 400, "cursor:"),
    ("?category=%00", 400, "category:"),
    ("/0", 400, "Invalid model ID"),
    ("/-1", 400, "Invalid model ID"),
    ("/1.0", 400, "Invalid model ID"),
    ("/abc", 400, "Invalid model ID"),
    ("/%D9%A3", 400, "Invalid model ID"),
    ("/" + "9" * 5000, 400, "Invalid model ID"),
    ("/9007199254740991", 404, "Model not found"),
    ("/999999", 404, "Model not found"),
    ("/999999/download", 404, "Model not found"),
    ("/x/download", 400, "Invalid model ID"),
    ("/INK/download?versionId=x", 400, "Invalid version ID"),
    ("/INK/download?versionId=", 400, "Invalid version ID"),
    ("/INK/download?versionId=0", 400, "Invalid version ID"),
    ("/INK/download?versionId=999999", 404, "Version not found"),
    ("/INK/download?versionId=9007199254740991", 404, "Version not found"),
    ("/INK/download?versionId=AWAY", 404, "Version file not available locally"),
]


def test_what_cannot_be_asked_is_told(shelf: LibraryApp) -> None:
    """In the library's shape, with the original's words where it had some."""
    ink = shelf.get(f"/{shelf.find_id('ink')}")
    away = ink["versions"][1]["id"]
    for path, status, words in REFUSED:
        answer = shelf.request("GET", path.replace("INK", str(ink["id"])).replace("AWAY", str(away)))
        assert (answer.status_code, answer.mimetype) == (status, "application/json"), path[:50]
        assert set(answer.json) - {"details"} == {"error", "code", "requestId"}
        assert words in answer.json["error"], (path[:50], answer.json)


def test_a_page_has_a_hundred_at_the_most(shelf: LibraryApp) -> None:
    """Whatever is asked for; and one can go on by number and by cursor."""
    assert shelf.get("", limit=101)["limit"] == shelf.get("", limit=10**9)["limit"] == 100
    first = shelf.get("", limit=3, sort="name")
    assert (len(first["items"]), first["total"], first["hasMore"]) == (3, 4, True)
    second = shelf.get("", limit=3, sort="name", page=2)
    assert shelf.get("", limit=3, sort="name", cursor=first["nextCursor"])["items"] == second["items"]
    assert (len(second["items"]), second["hasMore"], second["nextCursor"]) == (1, False, None)
    assert shelf.request("GET", f"?sort=size&cursor={first['nextCursor']}").status_code == 400
    assert shelf.get("", page=2)["items"] == []


def test_the_order_may_be_said_in_words(shelf: LibraryApp) -> None:
    """And the parameter wins."""
    by_name = ["base", "flux", "Ink", "vae"]
    for query in ({"search": "order:name"}, {"sort": "name"}, {"sort": "name", "search": "order:-name"}):
        assert [one["name"] for one in shelf.get("", **query)["items"]] == by_name
    assert [one["name"] for one in shelf.get("", sort="-name")["items"]] == by_name[::-1]


def test_filters_of_the_seed(shelf: LibraryApp) -> None:
    """Without case; several tags are any of them."""
    for query in (
        {"category": "lora"},
        {"subcategory": "QWEN"},
        {"baseModel": "sdxl 1.0"},
        {"type": "Lora"},
        {"search": "INK"},
        {"tags": "nothing,STYLE"},
        {"tags": "ink,style", "tagsMode": "all"},
        {"hasMetadata": "true"},
    ):
        assert [one["name"] for one in shelf.get("", **query)["items"]] == ["Ink"], query
    assert len(shelf.get("", hasMetadata="false")["items"]) == 3
    assert len(shelf.get("", maxNsfwLevel=2)["items"]) == 4
    assert len(shelf.get("", maxNsfwLevel=1)["items"]) == 3
    assert shelf.get("", tags="sty")["items"] == []
    assert shelf.get("/filters") == {
        "categories": ["Checkpoint", "Diffusion Model", "LoRA", "VAE"],
        "baseModels": ["SDXL 1.0"],
        "types": ["Checkpoint", "LORA", "VAE"],
        "tags": ["ink", "style"],
    }


WRITTEN = {
    "name": "Mine",
    "type": "LoCon",
    "baseModel": "Flux.1 D",
    "creator": "me",
    "notes": "line one\n\tline two \u2603",
    "description": "<b>ours</b><script>x</script>",
    "tags": ["one", "Two"],
    "trainedWords": ["w1", "w2"],
    "nsfwLevel": 8,
}


def test_what_a_person_writes_stays_until_it_is_taken_back(shelf: LibraryApp) -> None:
    """Over every scan; and then it is again as the sources say."""
    ident = shelf.find_id("ink")
    before = shelf.get(f"/{ident}")
    after = shelf.patch(ident, **WRITTEN)
    assert after == shelf.get(f"/{ident}")
    shown = {"name", "type", "baseModel", "notes", "tags", "trainedWords", "nsfwLevel"}
    assert {name: after[name] for name in shown} == {name: WRITTEN[name] for name in shown}
    assert (after["creatorName"], after["description"]) == ("me", "<b>ours</b>")
    assert {name for name, source in after["sources"].items() if source == "user"} == set(WRITTEN)
    assert set(after["editedAt"]) == set(WRITTEN)
    assert shelf.find_id("tag:two creator:me base:flux nsfw:8 has:notes w2 type:locon") == ident

    for path in shelf.folder.rglob("*.json"):
        path.write_text(path.read_text().replace('"Ink"', '"Inkier"'))
    assert shelf.scan().problems == 0
    assert shelf.scan(full=True).read == 4
    assert {name: shelf.get(f"/{ident}")[name] for name in shown} == {name: WRITTEN[name] for name in shown}

    again = shelf.patch(ident, **dict.fromkeys(WRITTEN))
    assert again["editedAt"] == {}
    assert again["name"] == "Inkier"
    assert {**again, "name": "Ink"} == before


def test_nothing_may_be_written_too(shelf: LibraryApp) -> None:
    """An empty text says that there is none, which wins as any other; a model has a name and a type."""
    ident = shelf.find_id("ink")
    shelf.patch(ident, notes="x")
    after = shelf.patch(ident, notes="", baseModel="", creator="", description="", tags=[], trainedWords=[])
    assert (after["notes"] or None, after["baseModel"], after["creatorName"] or None) == (None, None, None)
    assert (after["description"], after["tags"], after["trainedWords"]) == (None, [], [])
    assert shelf.get("", search="has:notes")["items"] == []
    assert shelf.patch(ident)["name"] == "Ink"


NO_JSON = "Content-Type was not 'application/json'"
UNWRITABLE: list[tuple[dict[str, Any], str]] = [
    ({"json": {"colour": "red"}}, "colour: Unknown field"),
    ({"json": {"id": 5}}, "id: Unknown field"),
    ({"json": {"name": ""}}, "name:"),
    ({"json": {"name": "   "}}, "name:"),
    ({"json": {"name": 5}}, "name:"),
    ({"json": {"name": "x" * 301}}, "name:"),
    ({"json": {"name": "a\0b"}}, "name: Contains control"),
    ({"data": b'{"name": "\\ud800"}', "content_type": "application/json"}, "name: Contains half"),
    ({"json": {"type": ""}}, "type:"),
    ({"json": {"notes": ["x"]}}, "notes:"),
    ({"json": {"notes": "x" * 100_001}}, "notes:"),
    ({"json": {"tags": "x" * 201}}, "tags:"),
    ({"json": {"tags": [1]}}, "tags:"),
    ({"json": {"tags": [f"t{number}" for number in range(101)]}}, "tags:"),
    ({"json": {"trainedWords": [None]}}, "trainedWords"),
    ({"json": {"trainedWords": "word"}}, "trainedWords"),
    ({"json": {"nsfwLevel": 64}}, "nsfwLevel:"),
    ({"json": {"nsfwLevel": 1.5}}, "nsfwLevel:"),
    ({"json": {"name": "fine", "nsfwLevel": -1}}, "nsfwLevel:"),
    ({"json": []}, "Invalid input type"),
    ({}, NO_JSON),
    ({"data": b"null", "content_type": "application/json"}, "Invalid input type"),
    ({"data": b"{", "content_type": "application/json"}, "not valid JSON"),
    ({"data": b"[" * 200_000, "content_type": "application/json"}, "not valid JSON"),
    ({"data": {"notes": "from a form"}}, NO_JSON),
    ({"data": b'{"notes": "x"}', "content_type": "text/plain"}, NO_JSON),
]


def test_what_cannot_be_written_is_told_and_changes_nothing(shelf: LibraryApp) -> None:
    """Not even the fields that were right."""
    ident = shelf.find_id("ink")
    before = shelf.get(f"/{ident}")
    for body, words in UNWRITABLE:
        answer = shelf.request("PATCH", f"/{ident}", **body)
        status = 415 if words == NO_JSON else 400
        assert (answer.status_code, "requestId" in answer.json) == (status, True), body
        assert words in answer.json["error"], (words, answer.json)
    assert shelf.get(f"/{ident}") == before
    assert shelf.request("PATCH", "/999999", json={"notes": "x"}).status_code == 404
    assert shelf.request("PATCH", "/x", json={"notes": "x"}).json["error"] == "Invalid model ID"


def test_texts_lose_what_no_text_has(shelf: LibraryApp) -> None:
    """Control characters and halves of characters, that no database takes and no page shows; the rest stays."""
    ident = shelf.find_id("ink")
    answer = shelf.request(
        "PATCH",
        f"/{ident}",
        data=b'{"notes": "a\\u0000b\\ud800c\\n\\td \\ud83d\\ude00"}',
        content_type="application/json",
    )
    assert answer.json["notes"] == "abc\n\td \U0001f600"


def test_two_writers_lose_nothing_of_one_another(shelf: LibraryApp) -> None:
    """Each field is as the last one who wrote that field has it, also where both write at once."""
    ident = shelf.find_id("ink")
    with ThreadPoolExecutor(4) as threads:
        both = [{"notes": f"notes {number}"} for number in range(10)] + [
            {"creator": f"c{number}"} for number in range(10)
        ]
        told = list(threads.map(lambda fields: shelf.request("PATCH", f"/{ident}", json=fields), both))
    assert [answer.status_code for answer in told] == [200] * 20
    last = shelf.get(f"/{ident}")
    assert (last["notes"][:6], last["creatorName"][:1]) == ("notes ", "c")
    assert last["sources"]["notes"] == last["sources"]["creator"] == "user"
    shelf.patch(ident, name="First", notes="of the first")
    shelf.patch(ident, name="Second", tags=["second"])
    model = shelf.patch(ident, baseModel="SD 3")
    assert (model["name"], model["notes"], model["tags"], model["baseModel"]) == (
        "Second",
        "of the first",
        ["second"],
        "SD 3",
    )


def test_who_signed_in_uses_the_same_views(shelf: LibraryApp) -> None:
    """Below ``/api/models``, with addresses of pictures that the cookie opens; a key is good there too."""
    client = shelf.app.client
    assert client.get("/api/models").status_code == 401
    assert client.post("/api/session", json={"key": API_KEY}).status_code == 200
    page = client.get("/api/models?search=ink").json
    assert page["items"][0]["heroImage"]["thumbPath"].startswith("http://127.0.0.1:3000/api/images/")
    ident = page["items"][0]["id"]
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    assert client.patch(f"/api/models/{ident}", json={"notes": "x"}, headers=same_origin).json["notes"] == "x"
    assert client.get("/api/v1/models").status_code == 401
    assert shelf.request("GET", f"/api/models/{ident}").json["notes"] == "x"


def everything(shelf: LibraryApp) -> str:
    """All that the library tells anybody."""
    ids = [one["id"] for one in shelf.get("")["items"]]
    urls = [
        "",
        "?include=versions",
        "/filters",
        "/api/v1/library/report",
        "/api/v1/library/scan",
        "/api/v1/images/recent",
    ]
    urls += [f"/{ident}{tail}" for ident in ids for tail in ("", "/download", "/images", "/download?versionId=999999")]
    urls += ["/api/v1/images/1", "/api/v1/images/1/thumb"]
    answers = [shelf.request("GET", url) for url in urls]
    return "\n".join(f"{answer.headers}\n{answer.data.decode(errors='replace')}" for answer in answers)


def test_where_the_folders_are_is_told_to_nobody(shelf: LibraryApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """In no answer, report or error; unless the operator says so."""
    monkeypatch.setattr("api.library.image_files.INSPECTION_TIMEOUT_S", 0.1)
    (shelf.folder / "out").symlink_to("/etc")
    (shelf.folder / "half.safetensors").write_bytes(b"\x10")
    write_safetensors(shelf.folder / "gone.safetensors", data=b"gone")
    shelf.scan()
    (shelf.folder / "gone.safetensors").unlink()
    shelf.stores.scan_requests.publish({"id": "x", "state": "done"})
    told = everything(shelf)
    assert "loras/qwen/ink" in told
    assert '"outside"' in told
    assert str(shelf.folder) not in told
    assert str(shelf.stores.settings.data_dir) not in told


def test_where_the_files_are_is_told_if_that_is_allowed(settings: Settings, tmp_path: Path) -> None:
    """By EXPOSE_PATHS."""
    fill(tmp_path / "models")
    with open_library_app(settings, tmp_path / "models", expose_paths=True) as shelf:
        shelf.scan()
        model = shelf.get(f"/{shelf.find_id('ink')}")
        path = str(shelf.folder / "loras" / "qwen" / "ink-mid_7-vid_12.safetensors")
        assert (
            model["filePath"] == model["versions"][0]["localPath"] == model["versions"][0]["files"][0]["path"] == path
        )
        assert model["versions"][0]["images"][0]["localPath"].startswith("http")


def test_a_file_is_known_by_its_hash_while_it_is_as_it_was_hashed(shelf: LibraryApp) -> None:
    """The moment its bytes are others, or it is another file of the same size and time, nothing is said of a hash."""
    ident = shelf.find_id("base")
    path = shelf.folder / "checkpoints" / "base.safetensors"
    content, about = path.read_bytes(), path.stat()
    sha256 = hashlib.sha256(content).hexdigest()
    url = f"/{ident}/download"
    known = shelf.request("GET", url)
    assert (known.headers["ETag"], known.data) == (f'"sha256-{sha256}"', content)
    assert "Repr-Digest" in known.headers
    assert shelf.request("GET", url, headers={"If-None-Match": f'"sha256-{sha256}"'}).status_code == 304
    part = shelf.request("GET", url, headers={"Range": "bytes=2-5", "If-Range": f'"sha256-{sha256}"'})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (
        206,
        content[2:6],
        f"bytes 2-5/{len(content)}",
    )
    assert shelf.request("GET", url, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert shelf.request("HEAD", url).headers["Content-Length"] == str(len(content))

    other = path.with_name("other")
    other.write_bytes(content[::-1])
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    other.replace(path)
    for _ in range(2):
        swapped = shelf.request("GET", url, headers={"If-Range": f'"sha256-{sha256}"', "Range": "bytes=2-5"})
        assert (swapped.status_code, swapped.data) == (200, content[::-1])
        assert sha256 not in swapped.headers["ETag"]
        assert "Repr-Digest" not in swapped.headers
        os.utime(path, ns=(5, 5))


def test_a_file_that_is_not_there_is_told(shelf: LibraryApp, tmp_path: Path) -> None:
    """Gone since the scan: 404; a link out of the folders in its place: 403; gone in the index: 404."""
    ident = shelf.find_id("base")
    url, path = f"/{ident}/download", shelf.folder / "checkpoints" / "base.safetensors"
    outside = write_safetensors(tmp_path / "outside.safetensors")
    path.unlink()
    assert shelf.request("GET", url).json["error"] == "There is no such file any more."
    path.symlink_to(outside)
    refused = shelf.request("GET", url)
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    path.unlink()
    path.mkdir()
    assert shelf.request("GET", url).status_code == 403
    path.rmdir()
    shelf.scan()
    missing = shelf.request("GET", url)
    assert (missing.status_code, missing.json["error"]) == (404, "Model or file not found")


def test_a_copy_that_is_there_is_sent_where_another_has_gone(shelf: LibraryApp) -> None:
    """Nobody has looked since; only where all are gone there is none."""
    paths = [
        write_safetensors(shelf.folder / "loras" / f"copy{number}.safetensors", data=b"twice") for number in range(2)
    ]
    shelf.scan()
    shelf.hash()
    url, content = f"/{shelf.find_id('is:duplicate')}/download", paths[0].read_bytes()
    for path in paths:
        sent = shelf.request("GET", url)
        assert (sent.data, "Repr-Digest" in sent.headers) == (content, True)
        path.unlink()
    gone = shelf.request("GET", url)
    assert (gone.status_code, gone.json["error"]) == (404, "There is no such file any more.")


def test_what_a_person_says_of_the_base_is_said_of_the_version_that_is_here(shelf: LibraryApp) -> None:
    """Clients look there; what a catalogue lists beside it, and models of several versions, keep their own."""
    ident = shelf.find_id("ink")
    versions = shelf.patch(ident, baseModel="Mine")["versions"]
    assert [one["baseModel"] for one in versions if one["isLocal"]] == ["Mine"]
    assert "Mine" not in [one["baseModel"] for one in versions if not one["isLocal"]]
    [listed] = shelf.get("", search="ink", include="versions")["items"]
    assert [one["baseModel"] for one in listed["versions"] if one["isLocal"]] == ["Mine"]
    for number in (1, 2):
        write_safetensors(shelf.folder / "loras" / f"mine-00000{number}.safetensors", data=b"%d" % number)
    shelf.scan()
    epochs = shelf.patch(shelf.find_id("name:mine"), baseModel="Mine")["versions"]
    assert [one["baseModel"] for one in epochs] == [None, None]


def test_a_folder_that_is_no_longer_the_librarys_is_not_served(
    shelf: LibraryApp, settings: Settings, tmp_path: Path
) -> None:
    """Although the index still has it."""
    ident = shelf.find_id("base")
    with open_library_app(settings, tmp_path / "models2") as other:
        answer = other.request("GET", f"/{ident}/download")
        assert (answer.status_code, "MODELS_DIR" in answer.json["error"]) == (404, True)
    neighbour = shelf.folder.with_name("models-private")
    write_safetensors(neighbour / "x.safetensors")
    (shelf.folder / "x.safetensors").symlink_to(neighbour / "x.safetensors")
    assert shelf.scan().problems == 1


def test_a_scan_is_asked_for_and_reported(shelf: LibraryApp) -> None:
    """At both addresses; without a library there is nothing to scan."""
    asked = [
        shelf.request("POST", path, **body)
        for path, body in (("/api/v1/scan", {}), ("/api/v1/library/scan", {"json": {"full": True}}))
    ]
    assert [answer.status_code for answer in asked] == [202, 202]
    assert [one.full for one in shelf.stores.scan_requests.claim(1)] == [False, True]
    for body in (
        {"json": []},
        {"json": {"full": "yes"}},
        {"json": {"fast": True}},
        {"data": b"null", "content_type": "application/json"},
    ):
        assert shelf.request("POST", "/api/v1/scan", **body).status_code == 400, body
    assert shelf.request("POST", "/api/v1/scan", data=b"full").status_code == 415
    assert shelf.get("/api/v1/library/scan") is None
    report = shelf.get("/api/v1/library/report")
    assert (report["counts"]["models"], report["problems"], report["nextAfter"]) == (4, [], None)
    for query in ("after=-1", "after=x", "after=99999999999999999999", "limit=0"):
        assert shelf.request("GET", f"/api/v1/library/report?{query}").status_code == 400
    assert shelf.request("GET", "/api/v1/library/scan/events", headers={"Last-Event-ID": "x"}).status_code == 400


def test_the_report_is_read_part_by_part(shelf: LibraryApp) -> None:
    """Each problem once."""
    for number in range(5):
        (shelf.folder / f"half{number}.safetensors").write_bytes(b"")
    shelf.scan()
    seen, after = [], 0
    while after is not None:
        part = shelf.get("/api/v1/library/report", limit=2, after=after)
        seen += [one["path"] for one in part["problems"]]
        after = part["nextAfter"]
    assert sorted(seen) == [f"half{number}.safetensors" for number in range(5)]
    assert shelf.get("/api/v1/library/report")["problems"][0]["code"] == "too_short"


def test_every_route_is_described(app: AppClient) -> None:
    """With a sentence, for people and programs."""
    spec = app.client.get("/openapi.json").json
    rules = [rule for rule in app.client.application.url_map.iter_rules() if rule.rule.startswith("/api/")]
    described = {
        (path, method) for path, methods in spec["paths"].items() for method in methods if method != "parameters"
    }
    for rule in rules:
        path = re.sub(r"<(?:[^<>]+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (path, method.lower()) in described, rule
            operation = spec["paths"][path][method.lower()]
            words = " ".join(filter(None, (operation.get("summary"), operation.get("description"))))
            assert re.search(r"\w.*[.?`]$", words, re.DOTALL), (path, words)
    upload = spec["paths"]["/api/v1/models/{model_id}/images"]["post"]["requestBody"]["content"]
    form = spec["components"]["schemas"][upload["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]]
    assert {"file", "versionId", "negativePrompt", "cfgScale", "nsfwLevel", "comfyWorkflow"} <= set(form["properties"])
