"""Uploads of tokens' pictures to an object store, which Darkroom finds there."""

from pathlib import Path

import httpx
import pytest

from ops.infra.settings import Settings
from schemas.gallery.pictures import MAX_UPLOAD_BYTES
from schemas.gallery.tokens import MediaStatus
from stores.images.upload_checks import CHECK_DELAYS_S
from tests.conftest import TIMEOUT_S, eventually
from tests.integration.gallery.picture_stack import open_stack
from tests.support.images import VALID_IMAGES, decode
from tests.support.s3_server import serve_s3


def test_pictures_go_to_a_cloud_without_passing_this_process(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checks find the upload after five seconds; one of the wrong size is refused unread."""
    with serve_s3(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        with open_stack(settings, media_url=server.media_url) as stack:
            token, other = stack.create_token(), stack.create_token()
            urls = [stack.upload_url(token), stack.upload_url(other)]
            assert all(url.startswith(f"{server.endpoint}/") for url in urls)
            for url, body in zip(urls, (VALID_IMAGES["moving webp"][0], bytes(MAX_UPLOAD_BYTES + 1)), strict=True):
                headers = {"Content-Type": "application/anything"}
                assert (
                    httpx.put(url, content=body, headers=headers, timeout=TIMEOUT_S, trust_env=False).status_code == 200
                )
            stack.sweeper.request_upload_checks()
            assert stack.read_token(token).media.status == MediaStatus.PENDING
            stack.clock.advance(CHECK_DELAYS_S[0] + 1)
            stack.sweeper.request_upload_checks()

            media = stack.wait_for(token, MediaStatus.READY).media
            assert decode(stack.file(media.preview)).n_frames == 3  # type: ignore[attr-defined] # an animation has it
            assert stack.wait_for(other, MediaStatus.FAILED).media.reason == "too_large"
            eventually(lambda: not stack.scratch_keys())
