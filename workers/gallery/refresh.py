"""Refreshes tokens: finishes an upload that has arrived, or derives the files of the picture again under new names."""

from schemas.errors import NotFound, ServiceError
from schemas.gallery.pictures import KeepMode, RefreshOutcome
from schemas.gallery.tokens import MediaStatus, Token
from schemas.images import formats
from stores import Stores
from workers.gallery.pictures import LIMITS_BY_MODE, fetch, keep
from workers.gallery.uploads import check_upload


def answer_refresh(stores: Stores, token_id: str, name: str) -> None:
    """Refresh a token, and tell the caller that waits what that did; does nothing if none waits any more."""
    requests = stores.gallery_media.pictures
    if not requests.is_requested(name):
        return
    try:
        requests.answer(name, refresh(stores, token_id))
    except ServiceError as error:
        requests.answer(name, error)


def refresh(stores: Stores, token_id: str) -> RefreshOutcome:
    """Refresh a token.

    Raises:
        NotFound: the token, or the object of its picture, has gone.
        Unavailable: the media store or the database does not answer.
    """
    token = stores.gallery.tokens.find(token_id)
    open_uploads = stores.gallery.uploads.list_open(token.token_id)
    for upload in open_uploads:
        check_upload(stores, upload.nonce)
    if open_uploads:
        before, token = token, stores.gallery.tokens.find(token_id)
        if token.media != before.media:
            return RefreshOutcome(*_describe_upload(token))
    if token.media.status is not MediaStatus.READY or token.media.asset is None:
        return RefreshOutcome("nothing", "The token has no picture; upload one.")
    return _derive_again(stores, token, token.media.asset)


def _describe_upload(token: Token) -> tuple[str, str]:
    if token.media.status is MediaStatus.READY:
        return "finished_upload", "The uploaded picture has been examined, and is the token's picture now."
    return "refused_upload", f"What was uploaded is not accepted: {token.media.reason}."


def _derive_again(stores: Stores, token: Token, asset_name: str) -> RefreshOutcome:
    """Keep the picture once more. Its bytes stay as they are, but for metadata if the prompt is private now."""
    asset = stores.gallery.assets.find(asset_name)
    is_plain = asset.type in formats.ACCEPTED_MEDIA_TYPES and token.media.poster is None
    mode = KeepMode.CLEAN if token.is_prompt_private and is_plain else KeepMode.EXACT
    poster = None
    if token.media.poster:
        poster = stores.media.get(stores.gallery.assets.find(token.media.poster).media_key)
    with fetch(stores, asset.media_key, LIMITS_BY_MODE[KeepMode.EXACT]) as file:
        kept = keep(stores, file, mode, poster)
    try:
        stores.gallery.tokens.attach_media(token.token_id, kept.media, kept.assets)
    except NotFound as error:
        raise NotFound("The token was deleted meanwhile.") from error
    if kept.media.sha256 != token.media.sha256:
        return RefreshOutcome("cleaned", "The picture was stored without its metadata, and its files were made again.")
    return RefreshOutcome("derived", "The thumbnails were made again, and all files have new names.")
