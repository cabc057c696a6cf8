"""Uploads of tokens' pictures: signed URLs, their one use, and how they end without a word from the client."""

import io
import shutil
import tempfile
from typing import IO, Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from schemas.gallery.assets import Upload, UploadState
from schemas.gallery.pictures import MAX_UPLOAD_BYTES
from schemas.gallery.tokens import MediaStatus, NewToken, Token
from stores.gallery.tables import uploads
from stores.images.upload_checks import CHECK_DELAYS_S
from stores.media import Media
from stores.sql.database import Database
from tests.conftest import eventually
from tests.integration.gallery.picture_stack import OWNER, PictureStack, stack
from tests.support.images import SVG, VALID_IMAGES, decode, draw_animation, draw_image, encode
from workers.gallery import uploads as upload_worker

__all__ = ["stack"]

SECRET = "a secret place"
# As gunicorn describes the body of a client that has stopped.
TORN = {"wsgi.input_terminated": True, "CONTENT_LENGTH": "1000"}
GPS_INFO = 0x8825


def camera_picture() -> bytes:
    """Return a JPEG with an EXIF text, a GPS position and a turned camera."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = SECRET, 6
    exif.get_ifd(GPS_INFO)[2] = (52.0, 31.0, 12.0)
    return encode(draw_image((800, 600)), "JPEG", exif=exif.tobytes())


def states(stack: PictureStack, *tokens: Token) -> list[str]:
    """Return the states of all uploads for these tokens."""
    of_tokens = uploads.c.target_id.in_([token.token_id for token in tokens])
    with Database(stack.app.stores.engine).read() as connection:
        return sorted(row.state for row in connection.execute(uploads.select().where(of_tokens)))


def issue(stack: PictureStack, token: Token) -> Upload:
    """Issue a URL for a token; return its upload."""
    stack.upload_url(token)
    return stack.app.stores.gallery.uploads.list_open(token.token_id)[0]


def test_an_upload_becomes_the_picture_of_its_token(stack: PictureStack) -> None:
    """Its declared name and type do not matter; it loses its metadata, and gets an icon and a thumbnail."""
    token = stack.create_token()
    url = stack.upload_url(token, "my cat.gif")
    preflight = stack.app.client.options(f"{urlsplit(url).path}?{urlsplit(url).query}")
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "Content-Type" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    assert stack.read_token(token).media.status == MediaStatus.PENDING
    response = stack.put(url, camera_picture())
    assert (response.status_code, response.json) == (200, {"success": "true"})
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    media = stack.wait_for(token, MediaStatus.READY).media
    data = stack.file(media.asset)

    assert (media.type, media.width, media.height, media.frames) == ("image/jpeg", 600, 800, 1)
    assert media.size_bytes == len(data)
    assert SECRET.encode() not in data
    assert not decode(data).getexif()
    assert max(decode(stack.file(media.thumb)).size) == 512
    assert stack.put(url, b"again").status_code == 409
    eventually(lambda: not stack.scratch_keys())
    assert states(stack, token) == [UploadState.FINISHED]


def test_files_are_immutable_and_run_nothing(stack: PictureStack) -> None:
    """They are cached without limit, support ranges, and have unique names."""
    token = stack.create_token()
    stack.put(stack.upload_url(token), draw_animation("GIF"))
    media = stack.wait_for(token, MediaStatus.READY).media
    get, path = stack.app.client.get, f"/images/asset/{media.asset}"
    response = get(path)
    part = get(path, headers={"Range": "bytes=2-4"})

    assert response.headers["Content-Type"] == "image/gif"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.headers["ETag"] == f'"{media.sha256}"'
    assert get(path, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    assert (part.status_code, part.data) == (206, response.data[2:5])
    assert get(path, headers={"Range": "bytes=999999-"}).status_code == 416
    assert stack.app.client.head(path).content_length == media.size_bytes
    assert decode(stack.file(media.preview)).n_frames == 3  # type: ignore[attr-defined] # an animation has it
    icon = (media.thumb or "").replace("webp", "png")
    for folder in ("profile", "collection_thumbnail"):
        icon_response = get(f"/{folder}/64x64/{icon}")
        assert icon_response.headers["Content-Type"] == "image/png"
        assert decode(icon_response.data).size == (64, 64)
    assert get("/images/asset/..%2f..%2ftest.sqlite3").status_code == 404


def test_uploads_that_are_not_pictures_are_refused(stack: PictureStack) -> None:
    """The token says why, nothing of it is kept, and another upload can follow."""
    bodies = {SVG: "not_a_picture", b"\xff": "not_a_picture", VALID_IMAGES["png"][0][:-30]: "broken"}
    tokens = {reason + str(len(body)): stack.create_token() for body, reason in bodies.items()}
    for body, token in zip(bodies, tokens.values(), strict=True):
        stack.put(stack.upload_url(token), body)
    for name, token in tokens.items():
        media = stack.wait_for(token, MediaStatus.FAILED).media
        assert name.startswith(str(media.reason))
        assert media.asset is None
    eventually(lambda: not stack.scratch_keys())
    last = tokens.popitem()[1]
    stack.put(stack.upload_url(last), VALID_IMAGES["avif"][0])

    assert stack.wait_for(last, MediaStatus.READY).media.reason is None
    eventually(lambda: not stack.scratch_keys())


def test_only_the_owner_gets_urls_and_only_signed_ones_work(stack: PictureStack) -> None:
    """Refusals have a message and never a URL."""
    token = stack.create_token()
    key = stack.app.stores.api_keys.create("another person")
    url = stack.upload_url(token)
    nonce = urlsplit(url).path.rpartition("/")[2]
    foreign = {"Authorization": key}
    asked: list[tuple[int, Any]] = [
        (403, stack.app.client.get(f"/v1/upload/token/{token.token_id}/a.png/", headers=foreign)),
        (401, stack.app.client.get(f"/v1/upload/token/{token.token_id}/a.png")),
        (404, stack.app.get(f"/v1/upload/token/{token.token_id[:-1]}f/a.png")),
        (404, stack.app.get("/v1/upload/token/undefined/undefined")),
        (403, stack.put(url.replace("signature=", "signature=0"), b"forged")),
        (403, stack.put(f"/v1/upload/put/{nonce}", b"unsigned")),
        (403, stack.put(url.replace("expires=", "expires=9"), b"longer")),
        (413, stack.put(url, b"", content_length=MAX_UPLOAD_BYTES + 1)),
        (400, stack.put(url, b"")),
        (400, stack.put(url, b"", input_stream=io.BytesIO(b"torn"), environ_overrides=TORN)),
    ]
    stack.clock.advance(601)
    asked.append((410, stack.put(url, b"late")))

    assert [(status, response.status_code) for status, response in asked] == [(status, status) for status, _ in asked]
    assert all(response.json["message"] and "url" not in response.json for _, response in asked)
    assert stack.scratch_keys() == []


def test_abandoned_uploads_end_automatically(stack: PictureStack) -> None:
    """A caller may have a hundred open at once; they end after twenty minutes, and leave nothing."""
    stack.clock.advance(1201)
    stack.sweeper.sweep_uploads()
    eventually(lambda: not stack.app.stores.gallery.uploads.list_due())
    tokens = [stack.create_token() for _ in range(2)]
    limit = stack.app.stores.settings.limit_open_uploads
    for number in range(limit):
        stack.upload_url(tokens[number % 2])
    refused = stack.app.get(f"/v1/upload/token/{tokens[0].token_id}/a.png")
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 1200
    assert refused.json["message"]
    stack.app.stores.media.put("scratch/0123456789abcdef", b"came after its upload had ended")
    stack.clock.advance(1201)
    stack.sweeper.sweep_uploads()
    for token in tokens:
        assert stack.wait_for(token, MediaStatus.NONE).media.reason == "not_uploaded"
    stack.clock.advance(3600)
    stack.sweeper.sweep_uploads()

    assert stack.scratch_keys() == []
    assert states(stack, *tokens) == [UploadState.EXPIRED] * limit
    stack.upload_url(tokens[0])
    stack.clock.advance(8 * 86_400)
    stack.sweeper.sweep_uploads()
    # The rows of the ended ones are gone; the last one has ended too, in a thread that the sweep has asked.
    eventually(lambda: states(stack, *tokens) == [UploadState.EXPIRED])


def test_a_storage_that_is_away_loses_nothing(stack: PictureStack) -> None:
    """A refused upload can be repeated; one that has arrived is finished once the storage is back."""
    token, media, away = stack.create_token(), stack.media_folder, stack.media_folder.with_name("away")
    url = stack.upload_url(token)
    media.rename(away)
    media.write_bytes(b"")
    refused = stack.put(url, VALID_IMAGES["png"][0])
    assert refused.status_code == 503
    assert refused.headers["Retry-After"]
    assert refused.json["message"]
    media.unlink()
    away.rename(media)
    nonce = urlsplit(url).path.rpartition("/")[2]
    with stack.app.stores.gallery_media.checks.checking(nonce):
        # The check that the upload causes finds that another process is at work, as if that had died.
        assert stack.put(url, VALID_IMAGES["png"][0]).status_code == 200
        eventually(stack.has_no_messages)
        shutil.move(media, away)
        media.write_bytes(b"")
    upload_worker.check_upload(stack.app.stores, nonce)
    assert stack.read_token(token).media.status == MediaStatus.PENDING
    media.unlink()
    away.rename(media)
    stack.clock.advance(CHECK_DELAYS_S[1] + 1)
    stack.sweeper.request_upload_checks()

    assert stack.wait_for(token, MediaStatus.READY).media.width == 64


def test_a_check_in_the_middle_of_a_put_does_not_undo_it(stack: PictureStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check sees the bytes first, and finishes the upload: the PUT succeeds, and the picture stays."""
    token, stores = stack.create_token(), stack.app.stores
    url = stack.upload_url(token)
    nonce, put_file = urlsplit(url).path.rpartition("/")[2], type(stores.media).put_file

    def put_and_check(media: Media, key: str, file: IO[bytes]) -> None:
        put_file(media, key, file)
        if key == stores.gallery.uploads.find(nonce).media_key:
            upload_worker.check_upload(stores, nonce)

    monkeypatch.setattr(type(stores.media), "put_file", put_and_check)

    assert stack.put(url, VALID_IMAGES["png"][0]).status_code == 200
    assert stack.read_token(token).media.status == MediaStatus.READY
    assert states(stack, token) == [UploadState.FINISHED]
    assert stack.put(url, VALID_IMAGES["png"][0]).status_code == 409


def test_bytes_that_get_lost_are_not_a_deleted_token(stack: PictureStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason names the missing object."""
    token, stores = stack.create_token(), stack.app.stores
    upload = issue(stack, token)
    stores.media.put(upload.media_key, VALID_IMAGES["png"][0])
    size = type(stores.media).size

    def size_and_lose(media: Media, key: str) -> int:
        size_bytes = size(media, key)
        media.delete(key)
        return size_bytes

    monkeypatch.setattr(type(stores.media), "size", size_and_lose)
    upload_worker.check_upload(stores, upload.nonce)

    assert stack.read_token(token).media.reason == "lost"


def test_a_large_picture_passes_through_the_disk(stack: PictureStack) -> None:
    """Fifty megabytes are a picture; one byte more than the limit, of unknown length, is not, and leaves nothing."""
    token = stack.create_token()
    picture = encode(draw_image((4000, 4300)), "PNG", compress_level=0)
    assert 0.95 * MAX_UPLOAD_BYTES < len(picture) <= MAX_UPLOAD_BYTES
    assert stack.put(stack.upload_url(token), picture).status_code == 200
    assert stack.wait_for(token, MediaStatus.READY).media.size_bytes == len(picture)
    eventually(lambda: not stack.scratch_keys())
    with tempfile.TemporaryFile() as endless:
        endless.truncate(MAX_UPLOAD_BYTES + 1)
        environ = {"wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        response = stack.put(stack.upload_url(token), b"", input_stream=endless, environ_overrides=environ)

    assert response.status_code == 413
    assert stack.scratch_keys() == []


def test_deleting_a_token_ends_its_upload_and_frees_its_files(stack: PictureStack) -> None:
    """Objects go a day after their last name; the bytes of an upload for a deleted token are not kept."""
    gallery, media = stack.app.stores.gallery, stack.app.stores.media
    token = stack.create_token()
    stack.put(stack.upload_url(token), encode(draw_image((70, 50)), "PNG"))
    kept = stack.wait_for(token, MediaStatus.READY).media
    keys = [gallery.assets.find(name).media_key for name in kept.assets]
    url = stack.upload_url(token)
    gallery.tokens.delete(OWNER, token.token_id)
    assert stack.put(url, VALID_IMAGES["gif"][0]).status_code == 200
    eventually(lambda: states(stack, token) == [UploadState.FAILED, UploadState.FINISHED])

    assert stack.app.client.get(f"/images/asset/{kept.asset}").status_code == 404
    assert all(media.exists(key) for key in keys)
    stack.clock.advance(86_401)
    stack.sweeper.sweep_uploads()
    assert not any(media.exists(key) for key in keys)
    assert not set(keys) & set(gallery.assets.list_media_keys())
    again = gallery.tokens.create(OWNER, stack.create_collection(), token.token_id, NewToken("again"))
    assert again.media.status == MediaStatus.NONE
