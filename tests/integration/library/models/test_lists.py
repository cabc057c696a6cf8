"""Lists of models over HTTP: the exact responses that clients of the original API and of this one rely on."""

import re
from typing import Any

from tests.integration.library.models.conftest import MODEL_SUMMARY, STATS, VERSION_SUMMARY
from tests.support.library import LibraryApp

HERO = {"id", "thumbPath", "width", "height", "nsfwLevel", "blurhash"}


def test_lists_have_the_fields_of_the_original_api(library: LibraryApp) -> None:
    """They are the fields of the page, of a model, and of its hero image."""
    page = library.get("")
    assert set(page) == {"items", "total", "totalIsEstimate", "page", "limit", "hasMore", "nextCursor"}
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
