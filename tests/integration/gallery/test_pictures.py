"""Pictures of tokens: from jobs, from the library, as videos, and derived again."""

import asyncio
import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import BrowserContext

from schemas.errors import Invalid, Unavailable
from schemas.gallery.pictures import KeepMode, KeptPicture
from schemas.gallery.tokens import MediaStatus, Token
from schemas.images import formats
from schemas.images.formats import ImageFormat
from schemas.images.structure import read_structure
from schemas.messages import BROWSE_QUEUE
from stores.redis.keys import upload_check_lock_key
from tests.conftest import API_KEY, eventually
from tests.integration.gallery.picture_stack import PictureStack, stack
from tests.support.images import VALID_IMAGES, build_png, decode, draw_animation, draw_image, encode, rotated_jpeg
from tests.support.result_page import serve_result_page
from tests.support.shared_browser import shared_browser
from workers.gallery import refresh as refresh_worker
from workers.gallery.posters import PosterRunner
from workers.gallery.uploads import check_upload, poster_key

__all__ = ["stack"]

SECRET = b"a secret place"
# Added to a video of each format: a tag, and a box of a user.
SECRETS = {
    formats.WEBM: bytes.fromhex("1254c367") + bytes([0x80 | len(SECRET)]) + SECRET,
    formats.MP4: (8 + 16 + len(SECRET)).to_bytes(4) + b"uuid" + bytes(16) + SECRET,
}
RECORD = """async (type) => {
  const bytes = new Uint8Array(await (await record(type)).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}"""


def attach(stack: PictureStack, kept: KeptPicture, **fields: Any) -> Token:
    """Return a new token with a picture."""
    token = stack.create_token(**fields)
    return stack.app.stores.gallery.tokens.attach_media(token.token_id, kept.media, kept.assets)


def make_private(stack: PictureStack, token: Token) -> Any:
    """Make the prompt of a token private."""
    path, headers = f"/api/v1/gallery/tokens/{token.token_id}", {"x-api-key": API_KEY}
    return stack.app.client.patch(path, json={"promptPrivate": True}, headers=headers)


def record_videos() -> dict[ImageFormat, bytes]:
    """Return a video of each format, as a browser records it, with a secret in its metadata."""

    async def run(context: BrowserContext) -> dict[ImageFormat, bytes]:
        page = await context.new_page()
        with serve_result_page({}) as url:
            await page.goto(url)
            recorded = {form: await page.evaluate(RECORD, form.media_type) for form in SECRETS}
        return {form: base64.b64decode(text) + SECRETS[form] for form, text in recorded.items()}

    return shared_browser.run(run)


class LentBrowser:
    """A pool of one context."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context

    @asynccontextmanager
    async def lease(self, *_args: Any) -> AsyncIterator[BrowserContext]:
        """Lend the context."""
        yield self._context


def draw_poster(stack: PictureStack, token: Token) -> None:
    """Do what a worker does for the open upload of a token."""
    upload = stack.app.stores.gallery.uploads.list_open(token.token_id)[0]

    async def draw(context: BrowserContext) -> None:
        runner = PosterRunner(stack.app.stores, LentBrowser(context))  # type: ignore[arg-type] # only lease is used
        await runner.draw(upload.media_key, upload.nonce)

    shared_browser.run(draw)


def check_again(stack: PictureStack, token: Token) -> None:
    """Check the open upload of a token when its present check has ended, as happens whenever the token is read."""
    stores = stack.app.stores
    nonce = stores.gallery.uploads.list_open(token.token_id)[0].nonce
    eventually(lambda: not stores.redis.exists(upload_check_lock_key(nonce)))
    check_upload(stores, nonce)


def test_a_jobs_picture_is_kept_byte_for_byte(stack: PictureStack) -> None:
    """With its metadata and whatever follows it; its size is that of the upright picture."""
    data = rotated_jpeg(6) + b"what a site appended"
    token = attach(stack, stack.app.stores.gallery_media.pictures.keep_bytes(data, KeepMode.EXACT))

    assert stack.file(token.media.asset) == data
    assert (token.media.width, token.media.height) == (600, 800)
    assert stack.scratch_keys() == []


def test_a_clean_picture_has_no_metadata(stack: PictureStack) -> None:
    """That is for uploads, for images of the library, and for prompts that are private."""
    pictures, data = stack.app.stores.gallery_media.pictures, rotated_jpeg(6)
    stack.app.stores.media.put("library/0123abc.jpg", data)
    kept = pictures.keep_object("library/0123abc.jpg", KeepMode.CLEAN)

    assert not decode(stack.file(attach(stack, kept).media.asset)).getexif()
    assert stack.app.stores.media.get("library/0123abc.jpg") == data


def test_equal_pictures_share_their_objects(stack: PictureStack) -> None:
    """Each token has names of its own; deleting one token leaves the other's files."""
    pictures, data = stack.app.stores.gallery_media.pictures, draw_animation("WEBP")
    first, second = (attach(stack, pictures.keep_bytes(data, KeepMode.EXACT)) for _ in range(2))
    find = stack.app.stores.gallery.assets.find
    assert not set(first.media.assets) & set(second.media.assets)
    assert [find(name).media_key for name in first.media.assets] == [
        find(name).media_key for name in second.media.assets
    ]
    stack.app.stores.gallery.tokens.delete(first.owner, first.token_id)
    stack.clock.advance(2 * 86_400)
    stack.sweeper.sweep_uploads()

    assert stack.file(second.media.asset) == data
    assert stack.app.client.get(f"/images/asset/{first.media.asset}").status_code == 404


def test_pictures_that_are_too_large_to_decode_are_shown_by_their_poster(stack: PictureStack) -> None:
    """Only a job's: an upload of that size is refused, and its metadata stay, so its prompt cannot become private."""
    pictures = stack.app.stores.gallery_media.pictures
    huge = build_png(9000, 9000, bytes(1000))
    poster = encode(draw_image((640, 480)), "JPEG")
    token = attach(stack, pictures.keep_bytes(huge, KeepMode.EXACT, poster))
    media = token.media
    with pytest.raises(Invalid, match="9000x9000") as caught:
        pictures.keep_bytes(huge, KeepMode.CLEAN)

    assert caught.value.details["reason"] == "too_many_pixels"
    assert (media.width, media.height, media.type) == (9000, 9000, "image/png")
    assert (stack.file(media.asset), stack.file(media.poster)) == (huge, poster)
    assert decode(stack.file(media.thumb)).size == (512, 384)
    refused = make_private(stack, token)
    assert (refused.status_code, refused.json["error"]["details"]["reason"]) == (409, "too_many_pixels")
    assert not stack.read_token(token).is_prompt_private
    assert stack.read_token(token).media == media


def test_uploaded_videos_have_a_poster_and_no_tags(stack: PictureStack) -> None:
    """A browser draws the poster; until then the token waits. A job's video loses its tags with a private prompt."""
    for form, data in record_videos().items():
        token = stack.create_token()
        assert stack.put(stack.upload_url(token), data).status_code == 200
        eventually(lambda: stack.broker.queue_length(BROWSE_QUEUE))
        assert stack.read_token(token).media.status == MediaStatus.PENDING
        check_again(stack, token)
        assert stack.broker.queue_length(BROWSE_QUEUE) == 1
        draw_poster(stack, token)
        media = stack.wait_for(token, MediaStatus.READY, MediaStatus.FAILED).media
        kept = stack.file(media.asset)

        assert (media.status, media.type, media.width, media.height) == ("ready", form.media_type, 160, 96)
        assert SECRET in data
        assert SECRET not in kept
        assert read_structure(kept, (form,)).width == 160
        assert decode(stack.file(media.poster)).size == (160, 96)
        assert decode(stack.file(media.thumb)).convert("RGB").getpixel((80, 48))[0] > 150  # type: ignore[index]
        stack.broker.client.delete(stack.broker.queue_key(BROWSE_QUEUE))

        poster = encode(draw_image((160, 96)), "JPEG")
        made = attach(stack, stack.app.stores.gallery_media.pictures.keep_bytes(data, KeepMode.EXACT, poster))
        assert SECRET in stack.file(made.media.asset)
        assert make_private(stack, made).json["promptPrivate"]
        assert SECRET not in stack.file(stack.read_token(made).media.asset)


def test_a_poster_that_is_there_is_not_drawn_again(stack: PictureStack) -> None:
    """A request that waited for a busy browser may find the work done."""
    media = stack.app.stores.media
    media.put("tests/video", VALID_IMAGES["png"][0])
    media.put(poster_key("tests/video"), b"its poster")
    without_browser: Any = None

    asyncio.run(PosterRunner(stack.app.stores, without_browser).draw("tests/video", "a-nonce"))

    assert media.get(poster_key("tests/video")) == b"its poster"


def test_a_refresh_reports_its_outcome(stack: PictureStack) -> None:
    """It derives again under new names, takes metadata away once a prompt is private, or finishes an upload."""
    pictures, tokens = stack.app.stores.gallery_media.pictures, stack.app.stores.gallery.tokens
    data = VALID_IMAGES["a bad turn"][0]
    token = attach(stack, pictures.keep_bytes(data, KeepMode.EXACT))
    derived = pictures.refresh(token.token_id)
    again = stack.read_token(token)
    assert derived.done == "derived"
    assert again.media.sha256 == token.media.sha256
    assert not set(again.media.assets) & set(token.media.assets)
    assert stack.app.client.get(f"/images/asset/{token.media.asset}").status_code == 404
    tokens.update(token.owner, token.token_id, {"is_prompt_private": True})
    assert pictures.refresh(token.token_id).done == "cleaned"
    assert not decode(stack.file(stack.read_token(token).media.asset)).getexif()

    other = attach(stack, pictures.keep_bytes(data, KeepMode.EXACT))
    assert make_private(stack, other).json["media"]["sha256"] == stack.read_token(token).media.sha256
    stack.upload_url(other)
    with stack.app.stores.gallery_media.checks.checking(
        stack.app.stores.gallery.uploads.list_open(other.token_id)[0].nonce
    ):
        assert pictures.refresh(other.token_id).done == "pending"

    empty = stack.create_token()
    assert pictures.refresh(empty.token_id).done == "nothing"
    url = stack.upload_url(empty)
    assert pictures.refresh(empty.token_id).done == "nothing"
    upload = stack.app.stores.gallery.uploads.list_open(empty.token_id)[0]
    assert stack.app.stores.gallery.uploads.receive(upload.nonce, len(data))
    stack.app.stores.media.put(upload.media_key, data)
    assert pictures.refresh(empty.token_id).done == "finished_upload"
    assert stack.put(url, data).status_code == 409


def test_a_refresh_does_not_bring_an_older_picture_back(stack: PictureStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the picture's place while it is derived stays: another upload, or a copy without metadata."""
    stores, data = stack.app.stores, rotated_jpeg(6)
    token = attach(stack, stores.gallery_media.pictures.keep_bytes(data, KeepMode.EXACT))
    keep, cleaned = refresh_worker.keep, []

    def keep_late(*arguments: Any) -> KeptPicture:
        kept: KeptPicture = keep(*arguments)
        if not cleaned:
            cleaned.append(True)
            assert make_private(stack, token).status_code == 200
        return kept

    monkeypatch.setattr(refresh_worker, "keep", keep_late)
    assert refresh_worker.refresh(stores, token.token_id).done == "derived"

    assert not decode(stack.file(stack.read_token(token).media.asset)).getexif()


def test_a_storage_that_is_away_is_an_error_and_keeps_nothing(stack: PictureStack) -> None:
    """The caller learns that the storage is away, whether it goes before or after the picture was handed over."""
    media, away = stack.media_folder, stack.media_folder.with_name("away")
    pictures = stack.app.stores.gallery_media.pictures
    token = attach(stack, pictures.keep_bytes(VALID_IMAGES["gif"][0], KeepMode.EXACT))
    shutil.move(media, away)
    media.write_bytes(b"")
    try:
        errors: list[Exception] = []
        for call in (
            lambda: pictures.keep_bytes(VALID_IMAGES["png"][0], KeepMode.EXACT),
            lambda: pictures.refresh(token.token_id),
        ):
            with pytest.raises(Unavailable, match="media store") as caught:
                call()
            errors.append(caught.value)
        file = stack.app.client.get(f"/images/asset/{token.media.asset}")
    finally:
        media.unlink()
        away.rename(media)

    assert len(errors) == 2
    assert file.status_code == 503
    assert stack.read_token(token).media == token.media
    assert stack.file(token.media.asset) == VALID_IMAGES["gif"][0]
