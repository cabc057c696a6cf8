"""Downloads of models over HTTP: which file is sent, with which hashes."""

import hashlib
import os
from pathlib import Path

from ops.infra.settings import Settings
from tests.support.library import LibraryApp, open_library_app
from tests.support.model_files import write_safetensors, write_tensors


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


def test_the_main_file_of_a_diffusers_folder_is_sent(library: LibraryApp) -> None:
    """Never another part of the model in its place."""
    folder = library.folder / "diffusers" / "foo"
    denoiser = write_tensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"a": (1,)}, seed="unet")
    write_tensors(folder / "text_encoder" / "model.safetensors", {"b": (1,)}, seed="text encoder")
    (folder / "model_index.json").write_text("{}")
    library.scan()
    model_id = library.find_id("foo")
    model = library.get(f"/{model_id}")
    assert (model["category"], model["filePath"]) == ("Checkpoint", f"diffusers/foo/unet/{denoiser.name}")
    assert [file["header"]["part"] for file in model["versions"][0]["files"]] == ["unet", "text_encoder"]
    assert library.request("GET", f"/{model_id}/download").data == denoiser.read_bytes()
    denoiser.unlink()
    assert library.request("GET", f"/{model_id}/download").status_code == 404
