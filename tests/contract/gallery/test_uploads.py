"""Uploads: URLs for one use, with limits for each caller."""

import pytest

from schemas.errors import LimitReached, NotFound
from schemas.gallery.assets import Upload, UploadState, UploadTarget
from stores.gallery import Gallery
from stores.gallery.uploads import UploadLimits
from tests.conftest import FakeClock
from tests.contract.gallery.conftest import ALICE, BOB, run_at_once

TOKEN_ID = "0x" + "1" * 64


def issue(gallery: Gallery, owner: str = ALICE, max_bytes: int = 100) -> Upload:
    """Issue a URL that is valid for ten seconds."""
    return gallery.uploads.issue(
        owner,
        UploadTarget.TOKEN,
        TOKEN_ID,
        media_key="uploads/one",
        max_bytes=max_bytes,
        lifetime_ms=10_000,
        limits=UploadLimits(max_open=3, max_open_bytes=1000),
    )


def test_a_url_is_used_once(gallery: Gallery) -> None:
    """Of concurrent uploads to it, one is received; a finished upload stays finished."""
    upload = issue(gallery)
    assert gallery.uploads.list_open(TOKEN_ID) == [upload]
    received = run_at_once(4, lambda _: gallery.uploads.receive(upload.nonce, 50))
    assert sorted(map(bool, received)) == [False, False, False, True]

    assert gallery.uploads.finish(upload.nonce)
    assert not gallery.uploads.fail(upload.nonce, "late")
    found = gallery.uploads.find(upload.nonce)
    assert (found.state, found.size_bytes, found.reason) == (UploadState.FINISHED, 50, None)
    assert gallery.uploads.list_open(TOKEN_ID) == []
    with pytest.raises(NotFound):
        gallery.uploads.find("other")


def test_a_url_expires(gallery: Gallery, clock: FakeClock) -> None:
    """Afterwards it receives nothing, is due for the sweep, and is forgotten later."""
    early, late = issue(gallery), issue(gallery)
    assert not gallery.uploads.expire(early.nonce)
    gallery.uploads.receive(late.nonce, 5)
    clock.advance(10)

    assert not gallery.uploads.receive(early.nonce, 5)
    assert {upload.nonce for upload in gallery.uploads.list_due()} == {early.nonce, late.nonce}
    assert gallery.uploads.expire(early.nonce)
    assert not gallery.uploads.expire(late.nonce)
    assert gallery.uploads.fail(late.nonce, "not a picture")
    assert gallery.uploads.find(late.nonce).reason == "not a picture"
    assert gallery.uploads.list_due() == []
    clock.advance(10)
    assert gallery.uploads.forget(clock.now_ms()) == 2


def test_a_caller_has_a_number_of_uploads_and_bytes_open(gallery: Gallery) -> None:
    """Others are not affected; the error says when to retry; an ended upload makes room."""
    nonces = [issue(gallery).nonce for _ in range(3)]
    assert len(set(nonces)) == 3
    with pytest.raises(LimitReached) as caught:
        issue(gallery)
    assert caught.value.retry_after_s == 10
    with pytest.raises(LimitReached):
        issue(gallery, BOB, max_bytes=1001)
    issue(gallery, BOB, max_bytes=1000)
    gallery.uploads.fail(nonces[0], "no")
    with pytest.raises(LimitReached):
        issue(gallery, BOB)
    issue(gallery)
