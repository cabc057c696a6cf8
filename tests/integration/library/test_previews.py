"""Pictures and videos beside model files over HTTP."""

import os

import pytest

from tests.conftest import eventually
from tests.support.images import VALID_IMAGES, decode, draw_image, encode
from tests.support.library import LibraryApp
from tests.support.library_images import PNG, media_objects


def test_previews_and_their_thumbnails_are_served(library: LibraryApp, inspected: list[str]) -> None:
    """The thumbnail is made once, and again after a change; previews cannot be edited."""
    model_id = library.find_id("ink")
    image = library.get(f"/{model_id}")["versions"][0]["images"][0]
    path = f"/api/v1/images/{image['id']}"
    assert (image["isUserUpload"], image["width"]) == (False, None)
    assert library.request("GET", path).data == PNG
    first = library.request("GET", f"{path}/thumb")
    assert (first.mimetype, decode(first.data).size) == ("image/webp", (64, 48))
    assert library.request("GET", f"{path}/thumb").data == first.data
    assert len(inspected) == 1
    assert library.get(f"/{model_id}")["versions"][0]["images"][0]["width"] == 64
    assert eventually(lambda: len(media_objects(library)) == 1)
    for method in ("PATCH", "DELETE"):
        assert library.request(method, f"/{model_id}/images/{image['id']}", json={}).status_code == 404

    file = library.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(encode(draw_image((640, 480)), "PNG"))
    os.utime(file, ns=(9, 9))
    # Not yet scanned: the new bytes are shown, but the index keeps what it knows about the old ones.
    assert decode(library.request("GET", f"{path}/thumb").data).size in ((64, 48), (400, 300))
    library.scan()
    assert decode(library.request("GET", f"{path}/thumb").data).size == (400, 300)
    again = library.get(f"/{model_id}")["versions"][0]["images"][0]
    assert (again["id"], again["width"], again["height"]) == (image["id"], 640, 480)
    assert len(inspected) == 2


def test_previews_that_are_no_images_are_not_served(library: LibraryApp, inspected: list[str]) -> None:
    """The failed inspection is stored; links out of the library are not followed."""
    model_id = library.find_id("ink")
    image = library.get(f"/{model_id}")["versions"][0]["images"][0]["id"]
    file = library.folder / "loras" / "sub" / "ink.preview.png"
    file.write_bytes(b"<script>alert(1)</script>")
    for tail in ("", "/thumb", "/thumb"):
        response = library.request("GET", f"/api/v1/images/{image}{tail}")
        assert (response.status_code, response.mimetype) == (404, "application/json")
    assert len(inspected) == 1
    assert eventually(lambda: not media_objects(library))
    file.unlink()
    file.symlink_to("/etc/hostname")
    for tail in ("", "/thumb"):
        assert library.request("GET", f"/api/v1/images/{image}{tail}").status_code == 403
    file.unlink()
    assert library.request("GET", f"/api/v1/images/{image}/thumb").status_code == 404


# An MP4 and a WebM that begin as real ones do; what follows is not looked at.
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(range(256)) * 8
WEBM = b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm" + bytes(500)


def test_avif_files_are_previews(library: LibraryApp, inspected: list[str]) -> None:
    """With a thumbnail, like other pictures."""
    data = VALID_IMAGES["avif"][0]
    (library.folder / "loras" / "other.avif").write_bytes(data)
    library.scan()
    model = library.get(f"/{library.find_id('other')}")
    [image] = model["versions"][0]["images"]
    assert (model["heroImage"]["id"], image["mediaType"]) == (image["id"], "image/avif")
    original = library.request("GET", f"/api/v1/images/{image['id']}")
    assert (original.data, original.mimetype) == (data, "image/avif")
    thumb = library.request("GET", f"/api/v1/images/{image['id']}/thumb")
    assert (thumb.mimetype, decode(thumb.data).size) == ("image/webp", (64, 48))
    assert len(inspected) == 1


@pytest.mark.parametrize(
    ("name", "data", "media_type"),
    [
        ("other.mp4", MP4, "video/mp4"),
        ("other.preview.mp4", MP4, "video/mp4"),
        ("OTHER.webm", WEBM, "video/webm"),
        ("other.webm", MP4, "video/mp4"),
    ],
)
def test_videos_are_previews(library: LibraryApp, name: str, data: bytes, media_type: str) -> None:
    """Their bytes decide the type; players may ask for parts; there is no thumbnail."""
    (library.folder / "loras" / name).write_bytes(data)
    library.scan()
    model = library.get(f"/{library.find_id('other')}")
    [image] = model["versions"][0]["images"]
    assert (model["heroImage"], image["thumbPath"]) == (None, None)
    assert image["mediaType"].startswith("video/")
    path = f"/api/v1/images/{image['id']}"
    whole = library.request("GET", path)
    assert (whole.data, whole.mimetype, whole.headers["Accept-Ranges"]) == (data, media_type, "bytes")
    part = library.request("GET", path, headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.data) == (206, data[10:100])
    assert part.headers["Content-Range"] == f"bytes 10-99/{len(data)}"
    assert library.request("GET", path, headers={"Range": f"bytes={len(data)}-"}).status_code == 416
    assert library.request("GET", path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    assert library.request("GET", f"{path}/thumb").status_code == 404
    (library.folder / "loras" / "other.png").write_bytes(PNG)
    library.scan()
    model = library.get(f"/{library.find_id('other')}")
    assert model["heroImage"]["id"] != image["id"]
    assert len(model["versions"][0]["images"]) == 2
