"""Single models over HTTP: fields, paths, sessions."""

import hashlib
import re
from pathlib import Path

import pytest

from ops.infra.settings import Settings
from tests.conftest import API_KEY
from tests.integration.conftest import AppClient
from tests.integration.library.models.conftest import MODEL_SUMMARY, VERSION_SUMMARY, write_models
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import write_safetensors

MODEL_DETAIL = MODEL_SUMMARY | {
    *("description", "filePath", "fileSize", "trainedWords", "licensingInfo", "notes", "versions"),
    *("modelLevelImages", "negativeWords", "preferredWeight", "sources", "editedAt"),
}


VERSION_DETAIL = VERSION_SUMMARY | {
    *("description", "stats", "publishedAt", "trainedWords", "images"),
    *("civitaiId", "epoch"),
}


FILE = {
    *("id", "fileName", "sizeKb", "format", "precision"),
    *("path", "canRunCode", "isLocal", "problem", "header", "hashState", "hashes"),
}


IMAGE = {
    *("id", "localPath", "thumbPath", "width", "height", "nsfwLevel", "prompt", "generationParams", "blurhash"),
    *("sortOrder", "isUserUpload", "modelId", "createdAt"),
    *("versionId", "jobId", "mediaType"),
}


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


def test_sessions_use_the_same_routes_below_api(library: LibraryApp) -> None:
    """Image URLs have the same prefix; the cookie and keys are accepted on both."""
    client = library.app.client
    assert client.get("/api/models").status_code == 401
    assert client.post("/api/session", json={"key": API_KEY}).status_code == 200
    page = client.get("/api/models?search=ink").json
    assert page["items"][0]["heroImage"]["thumbPath"].startswith("http://127.0.0.1:3000/api/images/")
    model_id = page["items"][0]["id"]
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    assert client.patch(f"/api/models/{model_id}", json={"notes": "x"}, headers=same_origin).json["notes"] == "x"
    assert client.get("/api/v1/models").status_code == 200
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
