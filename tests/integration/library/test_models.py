"""Models over HTTP: the exact responses that clients of the original API and of this one rely on."""

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

# First the fields of the original API, then additional ones.
MODEL_SUMMARY = {
    *("id", "name", "type", "category", "subcategory", "baseModel", "nsfwLevel", "creatorName", "creatorAvatar"),
    *("tags", "stats", "hasMetadata", "heroImage"),
    *("canRunCode", "civitaiId"),
}
MODEL_DETAIL = MODEL_SUMMARY | {
    *("description", "filePath", "fileSize", "trainedWords", "licensingInfo", "notes", "versions"),
    *("modelLevelImages", "negativeWords", "preferredWeight", "sources", "editedAt"),
}
VERSION_SUMMARY = {"id", "name", "baseModel", "isLocal", "localPath", "localFileSize", "files"}
VERSION_DETAIL = VERSION_SUMMARY | {
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
    *("versionId", "jobId", "mediaType"),
}


def write_models(folder: Path) -> None:
    """Write a LoRA with all kinds of metadata, a checkpoint without any, a diffusion model and a VAE."""
    ink = write_safetensors(
        folder / "loras" / "qwen" / "ink-mid_7-vid_12.safetensors", metadata={"ss_network_dim": "16"}
    )
    extra = ink.parent / "extra_data-vid_12"
    extra.mkdir()
    creator = {"username": "ann", "image": "https://x.test/ann.png"}
    metadata = civitai_model(7, name="Ink", stats=STATS, creator=creator, description=DESCRIPTION, nsfwLevel=3)
    (extra / "model_dict-mid_7-vid_12.json").write_text(json.dumps(metadata | {"modelVersions": VERSIONS}))
    (extra / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    write_safetensors(folder / "checkpoints" / "base.safetensors", data=b"checkpoint")
    write_safetensors(folder / "diffusion_models" / "flux.safetensors", data=b"diffusion")
    write_safetensors(folder / "vae" / "vae.safetensors", data=b"vae")


@pytest.fixture
def library(settings: Settings, tmp_path: Path) -> Iterator[LibraryApp]:
    """An app with these models, scanned and hashed."""
    write_models(tmp_path / "models")
    with open_library_app(settings, tmp_path / "models") as library:
        library.scan()
        library.hash()
        yield library


def test_lists_have_the_fields_of_the_original_api(library: LibraryApp) -> None:
    """They are the fields of the page, of a model, and of its hero image."""
    page = library.get("")
    assert set(page) == {"items", "total", "page", "limit", "hasMore", "nextCursor"}
    assert (page["total"], page["page"], page["limit"], page["hasMore"], page["nextCursor"]) == (4, 1, 40, False, None)
    assert [set(entry) for entry in page["items"]] == [MODEL_SUMMARY] * 4
    [ink] = library.get("", search="ink")["items"]
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
    bare = library.get("", search="base")["items"][0]
    assert (bare["heroImage"], bare["stats"], bare["hasMetadata"], bare["subcategory"]) == (None, {}, False, None)


def test_a_model_has_the_fields_of_the_original_api(library: LibraryApp) -> None:
    """It has local and remote versions with files and images, sources and sanitized HTML."""
    model = library.get(f"/{library.find_id('ink')}")
    assert set(model) == MODEL_DETAIL
    assert model["description"].startswith('<p>Hi <a rel="noopener noreferrer nofollow ugc">there</a></p>')
    assert "script" not in model["description"]
    assert "img" not in model["description"]
    local, remote = model["versions"]
    assert [set(entry) for entry in model["versions"]] == [VERSION_DETAIL] * 2
    assert (local["name"], local["isLocal"], local["civitaiId"], local["publishedAt"]) == (
        "v2",
        True,
        12,
        "2024-01-01T00:00:00Z",
    )
    assert (local["description"], local["stats"], local["trainedWords"]) == (
        "<b>two</b>",
        {"downloadCount": 7},
        ["wash"],
    )
    assert (remote["name"], remote["isLocal"], remote["files"], remote["baseModel"]) == (
        "v1",
        False,
        [],
        "SD 1.5",
    )
    [file] = local["files"]
    assert set(file) == FILE
    path = library.folder / file["path"]
    assert (file["fileName"], file["format"], file["header"]["dim"]) == (path.name, "SafeTensor", 16)
    assert model["filePath"] == local["localPath"] == "loras/qwen/ink-mid_7-vid_12.safetensors"
    assert model["fileSize"] == local["localFileSize"] == path.stat().st_size == round(file["sizeKb"] * 1024)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (file["hashState"], file["hashes"]["SHA256"], file["hashes"]["AutoV2"]) == ("done", sha256, sha256[:10])
    [image] = local["images"]
    assert set(image) == IMAGE
    assert not image["isUserUpload"]
    assert model["sources"]["name"] == "civitdl"
    assert model["editedAt"] == {}


def test_a_list_can_include_versions(library: LibraryApp) -> None:
    """Versions on disk come first."""
    [ink] = library.get("", search="ink", include="versions")["items"]
    assert set(ink) == MODEL_SUMMARY | {"versions"}
    assert [set(entry) for entry in ink["versions"]] == [VERSION_SUMMARY] * 2
    assert [entry["isLocal"] for entry in ink["versions"]] == [True, False]
    assert "versions" not in library.get("", include="pictures")["items"][0]


def test_the_requests_of_a_comfyui_node_pack_work(library: LibraryApp) -> None:
    """They test the key, list four categories page by page, download a file, and get a model."""
    assert library.request("GET", "?limit=1").status_code == 200
    assert library.request("GET", "?limit=1", key="wrong").status_code == 401
    models: dict[str, list[dict[str, Any]]] = {}
    for category in ("Diffusion Model", "Checkpoint", "LoRA", "VAE"):
        number, more = 1, True
        while more:
            page = library.get("", category=category, include="versions", limit=100, page=number)
            models.setdefault(category, []).extend(page["items"])
            number, more = number + 1, page["hasMore"]
    assert {name: [entry["name"] for entry in items] for name, items in models.items()} == {
        "Diffusion Model": ["flux"],
        "Checkpoint": ["base"],
        "LoRA": ["Ink"],
        "VAE": ["vae"],
    }
    for item in (items[0] for items in models.values()):
        assert item["id"] > 0
        local = [entry for entry in item["versions"] if entry["isLocal"]]
        response = library.request("GET", f"/{item['id']}/download?versionId={local[0]['id']}")
        name = re.search(r'filename="?([^";\n]+)"?', response.headers["Content-Disposition"])
        assert name
        assert (library.folder / local[0]["localPath"]).name == name[1]
        assert response.headers["Content-Disposition"].index("filename=") < response.headers[
            "Content-Disposition"
        ].index("filename*=")
        assert response.mimetype == "application/octet-stream"
        assert int(response.headers["Content-Length"]) == local[0]["localFileSize"] == len(response.data)
        assert library.get(f"/{item['id']}")["id"] == item["id"]


INVALID_REQUESTS: list[tuple[str, int, str]] = [
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
    ("/INK/download?versionId=REMOTE", 404, "Version file not available locally"),
]


def test_invalid_queries_are_rejected_with_a_message(library: LibraryApp) -> None:
    """Errors have the library's format, and the messages of the original API where it had some."""
    ink = library.get(f"/{library.find_id('ink')}")
    remote = ink["versions"][1]["id"]
    for path, status, message in INVALID_REQUESTS:
        response = library.request("GET", path.replace("INK", str(ink["id"])).replace("REMOTE", str(remote)))
        assert (response.status_code, response.mimetype) == (status, "application/json"), path[:50]
        assert set(response.json) - {"details"} == {"error", "code", "requestId"}
        assert message in response.json["error"], (path[:50], response.json)


def test_a_page_has_at_most_100_models(library: LibraryApp) -> None:
    """Pages continue by number and by cursor."""
    assert library.get("", limit=101)["limit"] == library.get("", limit=10**9)["limit"] == 100
    first = library.get("", limit=3, sort="name")
    assert (len(first["items"]), first["total"], first["hasMore"]) == (3, 4, True)
    second = library.get("", limit=3, sort="name", page=2)
    assert library.get("", limit=3, sort="name", cursor=first["nextCursor"])["items"] == second["items"]
    assert (len(second["items"]), second["hasMore"], second["nextCursor"]) == (1, False, None)
    assert library.request("GET", f"?sort=size&cursor={first['nextCursor']}").status_code == 400
    assert library.get("", page=2)["items"] == []


def test_the_sort_order_may_be_part_of_the_search(library: LibraryApp) -> None:
    """The parameter `sort` overrides it."""
    by_name = ["base", "flux", "Ink", "vae"]
    for query in ({"search": "order:name"}, {"sort": "name"}, {"sort": "name", "search": "order:-name"}):
        assert [entry["name"] for entry in library.get("", **query)["items"]] == by_name
    assert [entry["name"] for entry in library.get("", sort="-name")["items"]] == by_name[::-1]


def test_filters_of_the_original_api(library: LibraryApp) -> None:
    """They ignore case; of several tags any matches."""
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
        assert [entry["name"] for entry in library.get("", **query)["items"]] == ["Ink"], query
    assert len(library.get("", hasMetadata="false")["items"]) == 3
    assert len(library.get("", maxNsfwLevel=2)["items"]) == 4
    assert len(library.get("", maxNsfwLevel=1)["items"]) == 3
    assert library.get("", tags="sty")["items"] == []
    assert library.get("/filters") == {
        "categories": ["Checkpoint", "Diffusion Model", "LoRA", "VAE"],
        "baseModels": ["SDXL 1.0"],
        "types": ["Checkpoint", "LORA", "VAE"],
        "tags": ["ink", "style"],
    }


EDITS = {
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


def test_user_edits_survive_scans_until_they_are_reverted(library: LibraryApp) -> None:
    """A reverted field has the value of its sources again."""
    model_id = library.find_id("ink")
    before = library.get(f"/{model_id}")
    after = library.patch(model_id, **EDITS)
    assert after == library.get(f"/{model_id}")
    names = {"name", "type", "baseModel", "notes", "tags", "trainedWords", "nsfwLevel"}
    assert {name: after[name] for name in names} == {name: EDITS[name] for name in names}
    assert (after["creatorName"], after["description"]) == ("me", "<b>ours</b>")
    assert {name for name, source in after["sources"].items() if source == "user"} == set(EDITS)
    assert set(after["editedAt"]) == set(EDITS)
    assert library.find_id("tag:two creator:me base:flux nsfw:8 has:notes w2 type:locon") == model_id

    for path in library.folder.rglob("*.json"):
        path.write_text(path.read_text().replace('"Ink"', '"Inkier"'))
    assert library.scan().problems == 0
    assert library.scan(full=True).read == 4
    assert {name: library.get(f"/{model_id}")[name] for name in names} == {name: EDITS[name] for name in names}

    again = library.patch(model_id, **dict.fromkeys(EDITS))
    assert again["editedAt"] == {}
    assert again["name"] == "Inkier"
    assert {**again, "name": "Ink"} == before


def test_an_empty_user_edit_overrides_the_sources(library: LibraryApp) -> None:
    """Name and type of a model cannot be empty."""
    model_id = library.find_id("ink")
    library.patch(model_id, notes="x")
    after = library.patch(model_id, notes="", baseModel="", creator="", description="", tags=[], trainedWords=[])
    assert (after["notes"] or None, after["baseModel"], after["creatorName"] or None) == (None, None, None)
    assert (after["description"], after["tags"], after["trainedWords"]) == (None, [], [])
    assert library.get("", search="has:notes")["items"] == []
    assert library.patch(model_id)["name"] == "Ink"


NOT_JSON = "Content-Type was not 'application/json'"
INVALID_EDITS: list[tuple[dict[str, Any], str]] = [
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
    ({}, NOT_JSON),
    ({"data": b"null", "content_type": "application/json"}, "Invalid input type"),
    ({"data": b"{", "content_type": "application/json"}, "not valid JSON"),
    ({"data": b"[" * 200_000, "content_type": "application/json"}, "not valid JSON"),
    ({"data": {"notes": "from a form"}}, NOT_JSON),
    ({"data": b'{"notes": "x"}', "content_type": "text/plain"}, NOT_JSON),
]


def test_invalid_edits_are_rejected_and_change_nothing(library: LibraryApp) -> None:
    """The valid fields of the same request are not stored either."""
    model_id = library.find_id("ink")
    before = library.get(f"/{model_id}")
    for body, message in INVALID_EDITS:
        response = library.request("PATCH", f"/{model_id}", **body)
        status = 415 if message == NOT_JSON else 400
        assert (response.status_code, "requestId" in response.json) == (status, True), body
        assert message in response.json["error"], (message, response.json)
    assert library.get(f"/{model_id}") == before
    assert library.request("PATCH", "/999999", json={"notes": "x"}).status_code == 404
    assert library.request("PATCH", "/x", json={"notes": "x"}).json["error"] == "Invalid model ID"


def test_control_characters_and_lone_surrogates_are_removed(library: LibraryApp) -> None:
    """The rest of the text stays."""
    model_id = library.find_id("ink")
    response = library.request(
        "PATCH",
        f"/{model_id}",
        data=b'{"notes": "a\\u0000b\\ud800c\\n\\td \\ud83d\\ude00"}',
        content_type="application/json",
    )
    assert response.json["notes"] == "abc\n\td \U0001f600"


def test_concurrent_edits_of_different_fields_are_all_kept(library: LibraryApp) -> None:
    """Each field has the value of its last edit."""
    model_id = library.find_id("ink")
    with ThreadPoolExecutor(4) as threads:
        edits = [{"notes": f"notes {number}"} for number in range(10)] + [
            {"creator": f"c{number}"} for number in range(10)
        ]
        responses = list(threads.map(lambda fields: library.request("PATCH", f"/{model_id}", json=fields), edits))
    assert [response.status_code for response in responses] == [200] * 20
    last = library.get(f"/{model_id}")
    assert (last["notes"][:6], last["creatorName"][:1]) == ("notes ", "c")
    assert last["sources"]["notes"] == last["sources"]["creator"] == "user"
    library.patch(model_id, name="First", notes="of the first")
    library.patch(model_id, name="Second", tags=["second"])
    model = library.patch(model_id, baseModel="SD 3")
    assert (model["name"], model["notes"], model["tags"], model["baseModel"]) == (
        "Second",
        "of the first",
        ["second"],
        "SD 3",
    )


def test_sessions_use_the_same_routes_below_api(library: LibraryApp) -> None:
    """Image URLs have the same prefix, which accepts the cookie; keys are accepted there too."""
    client = library.app.client
    assert client.get("/api/models").status_code == 401
    assert client.post("/api/session", json={"key": API_KEY}).status_code == 200
    page = client.get("/api/models?search=ink").json
    assert page["items"][0]["heroImage"]["thumbPath"].startswith("http://127.0.0.1:3000/api/images/")
    model_id = page["items"][0]["id"]
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    assert client.patch(f"/api/models/{model_id}", json={"notes": "x"}, headers=same_origin).json["notes"] == "x"
    assert client.get("/api/v1/models").status_code == 401
    assert library.request("GET", f"/api/models/{model_id}").json["notes"] == "x"


def all_responses(library: LibraryApp) -> str:
    """Return the headers and bodies of all responses of the library."""
    ids = [entry["id"] for entry in library.get("")["items"]]
    urls = [
        "",
        "?include=versions",
        "/filters",
        "/api/v1/library/report",
        "/api/v1/library/scan",
        "/api/v1/images/recent",
    ]
    urls += [
        f"/{model_id}{tail}" for model_id in ids for tail in ("", "/download", "/images", "/download?versionId=999999")
    ]
    urls += ["/api/v1/images/1", "/api/v1/images/1/thumb"]
    responses = [library.request("GET", url) for url in urls]
    return "\n".join(f"{response.headers}\n{response.data.decode(errors='replace')}" for response in responses)


def test_no_response_contains_absolute_paths(library: LibraryApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for lists, reports and errors."""
    monkeypatch.setattr("api.library.image_files.INSPECTION_TIMEOUT_S", 0.1)
    (library.folder / "out").symlink_to("/etc")
    (library.folder / "half.safetensors").write_bytes(b"\x10")
    write_safetensors(library.folder / "gone.safetensors", data=b"gone")
    library.scan()
    (library.folder / "gone.safetensors").unlink()
    library.stores.scan_requests.publish({"id": "x", "state": "done"})
    text = all_responses(library)
    assert "loras/qwen/ink" in text
    assert '"outside"' in text
    assert str(library.folder) not in text
    assert str(library.stores.settings.data_dir) not in text


def test_expose_paths_shows_absolute_paths(settings: Settings, tmp_path: Path) -> None:
    """The setting is EXPOSE_PATHS."""
    write_models(tmp_path / "models")
    with open_library_app(settings, tmp_path / "models", expose_paths=True) as library:
        library.scan()
        model = library.get(f"/{library.find_id('ink')}")
        path = str(library.folder / "loras" / "qwen" / "ink-mid_7-vid_12.safetensors")
        assert (
            model["filePath"] == model["versions"][0]["localPath"] == model["versions"][0]["files"][0]["path"] == path
        )
        assert model["versions"][0]["images"][0]["localPath"].startswith("http")


def test_hash_headers_are_sent_for_unchanged_files_only(library: LibraryApp) -> None:
    """A file replaced since it was hashed has neither that ETag nor a digest, even with equal size and time."""
    model_id = library.find_id("base")
    path = library.folder / "checkpoints" / "base.safetensors"
    content, stat = path.read_bytes(), path.stat()
    sha256 = hashlib.sha256(content).hexdigest()
    url = f"/{model_id}/download"
    hashed = library.request("GET", url)
    assert (hashed.headers["ETag"], hashed.data) == (f'"sha256-{sha256}"', content)
    assert "Repr-Digest" in hashed.headers
    assert library.request("GET", url, headers={"If-None-Match": f'"sha256-{sha256}"'}).status_code == 304
    part = library.request("GET", url, headers={"Range": "bytes=2-5", "If-Range": f'"sha256-{sha256}"'})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (
        206,
        content[2:6],
        f"bytes 2-5/{len(content)}",
    )
    assert library.request("GET", url, headers={"Range": f"bytes={len(content)}-"}).status_code == 416
    assert library.request("HEAD", url).headers["Content-Length"] == str(len(content))

    other = path.with_name("other")
    other.write_bytes(content[::-1])
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(path)
    for _ in range(2):
        swapped = library.request("GET", url, headers={"If-Range": f'"sha256-{sha256}"', "Range": "bytes=2-5"})
        assert (swapped.status_code, swapped.data) == (200, content[::-1])
        assert sha256 not in swapped.headers["ETag"]
        assert "Repr-Digest" not in swapped.headers
        os.utime(path, ns=(5, 5))


def test_downloads_of_missing_files_fail(library: LibraryApp, tmp_path: Path) -> None:
    """A deleted file is a 404; a link out of the library or a folder at its path is a 403."""
    model_id = library.find_id("base")
    url, path = f"/{model_id}/download", library.folder / "checkpoints" / "base.safetensors"
    outside = write_safetensors(tmp_path / "outside.safetensors")
    path.unlink()
    assert library.request("GET", url).json["error"] == "There is no such file any more."
    path.symlink_to(outside)
    refused = library.request("GET", url)
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")
    path.unlink()
    path.mkdir()
    assert library.request("GET", url).status_code == 403
    path.rmdir()
    library.scan()
    missing = library.request("GET", url)
    assert (missing.status_code, missing.json["error"]) == (404, "Model or file not found")


def test_a_copy_is_sent_if_a_file_was_deleted(library: LibraryApp) -> None:
    """The next scan is not needed; 404 follows once all copies are gone."""
    paths = [
        write_safetensors(library.folder / "loras" / f"copy{number}.safetensors", data=b"twice") for number in range(2)
    ]
    library.scan()
    library.hash()
    url, content = f"/{library.find_id('is:duplicate')}/download", paths[0].read_bytes()
    for path in paths:
        sent = library.request("GET", url)
        assert (sent.data, "Repr-Digest" in sent.headers) == (content, True)
        path.unlink()
    deleted = library.request("GET", url)
    assert (deleted.status_code, deleted.json["error"]) == (404, "There is no such file any more.")


def test_a_user_edit_of_the_base_model_applies_to_the_only_local_version(library: LibraryApp) -> None:
    """Remote versions, and models with several local versions, keep their own."""
    model_id = library.find_id("ink")
    versions = library.patch(model_id, baseModel="Mine")["versions"]
    assert [entry["baseModel"] for entry in versions if entry["isLocal"]] == ["Mine"]
    assert "Mine" not in [entry["baseModel"] for entry in versions if not entry["isLocal"]]
    [listed] = library.get("", search="ink", include="versions")["items"]
    assert [entry["baseModel"] for entry in listed["versions"] if entry["isLocal"]] == ["Mine"]
    for number in (1, 2):
        write_safetensors(library.folder / "loras" / f"mine-00000{number}.safetensors", data=b"%d" % number)
    library.scan()
    epochs = library.patch(library.find_id("name:mine"), baseModel="Mine")["versions"]
    assert [entry["baseModel"] for entry in epochs] == [None, None]


def test_files_below_removed_roots_are_not_served(library: LibraryApp, settings: Settings, tmp_path: Path) -> None:
    """This holds even while the index still has them."""
    model_id = library.find_id("base")
    with open_library_app(settings, tmp_path / "models2") as other:
        response = other.request("GET", f"/{model_id}/download")
        assert (response.status_code, "MODELS_DIR" in response.json["error"]) == (404, True)
    neighbour = library.folder.with_name("models-private")
    write_safetensors(neighbour / "x.safetensors")
    (library.folder / "x.safetensors").symlink_to(neighbour / "x.safetensors")
    assert library.scan().problems == 1


def test_scan_requests_and_reports(library: LibraryApp) -> None:
    """Both URLs of the scan request work; invalid bodies and parameters are rejected."""
    responses = [
        library.request("POST", path, **body)
        for path, body in (("/api/v1/scan", {}), ("/api/v1/library/scan", {"json": {"full": True}}))
    ]
    assert [response.status_code for response in responses] == [202, 202]
    assert [entry.full for entry in library.stores.scan_requests.claim(1)] == [False, True]
    for body in (
        {"json": []},
        {"json": {"full": "yes"}},
        {"json": {"fast": True}},
        {"data": b"null", "content_type": "application/json"},
    ):
        assert library.request("POST", "/api/v1/scan", **body).status_code == 400, body
    assert library.request("POST", "/api/v1/scan", data=b"full").status_code == 415
    assert library.get("/api/v1/library/scan") is None
    report = library.get("/api/v1/library/report")
    assert (report["counts"]["models"], report["problems"], report["nextAfter"]) == (4, [], None)
    for query in ("after=-1", "after=x", "after=99999999999999999999", "limit=0"):
        assert library.request("GET", f"/api/v1/library/report?{query}").status_code == 400
    assert library.request("GET", "/api/v1/library/scan/events", headers={"Last-Event-ID": "x"}).status_code == 400


def test_the_report_is_paged(library: LibraryApp) -> None:
    """Each problem is on one page."""
    for number in range(5):
        (library.folder / f"half{number}.safetensors").write_bytes(b"")
    library.scan()
    paths, after = [], 0
    while after is not None:
        part = library.get("/api/v1/library/report", limit=2, after=after)
        paths += [entry["path"] for entry in part["problems"]]
        after = part["nextAfter"]
    assert sorted(paths) == [f"half{number}.safetensors" for number in range(5)]
    assert library.get("/api/v1/library/report")["problems"][0]["code"] == "empty"


def test_every_route_is_documented(app: AppClient) -> None:
    """Each has a sentence in the OpenAPI document."""
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
            text = " ".join(filter(None, (operation.get("summary"), operation.get("description"))))
            assert re.search(r"\w.*[.?`]$", text, re.DOTALL), (path, text)
    upload = spec["paths"]["/api/v1/models/{model_id}/images"]["post"]["requestBody"]["content"]
    form = spec["components"]["schemas"][upload["multipart/form-data"]["schema"]["$ref"].rpartition("/")[2]]
    assert {"file", "versionId", "negativePrompt", "cfgScale", "nsfwLevel", "comfyWorkflow"} <= set(form["properties"])
