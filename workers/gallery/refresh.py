"""Refreshes tokens: finishes an upload that has arrived, or derives the files of the picture again under new names."""

from schemas.errors import Conflict, NotFound, ServiceError
from schemas.gallery.assets import UploadState
from schemas.gallery.pictures import KeepMode, RefreshOutcome
from schemas.gallery.tokens import MediaStatus, Token
from stores import Stores
from workers.gallery.pictures import LIMITS_BY_MODE, fetch, keep
from workers.gallery.uploads import check_upload

NO_PICTURE = RefreshOutcome("nothing", "The token has no picture; upload one.")
PENDING = RefreshOutcome("pending", "An uploaded picture is being examined; read the token again in a moment.")
MAX_ATTEMPTS = 3


def answer_refresh(stores: Stores, token_id: str, name: str, mode: str) -> None:
    """Refresh or clean a token, and tell the caller that waits what that did; does nothing if none waits any more."""
    requests = stores.gallery_media.pictures
    if not requests.is_requested(name):
        return
    try:
        requests.answer(name, (clean if mode == KeepMode.CLEAN else refresh)(stores, token_id))
    except ServiceError as error:
        requests.answer(name, error)


def refresh(stores: Stores, token_id: str) -> RefreshOutcome:
    """Refresh a token.

    Raises:
        NotFound: the token, or the object of its picture, has gone.
        Invalid: the prompt is private, and the picture cannot be stored without its metadata.
        Unavailable: the media store or the database does not answer.
    """
    before = stores.gallery.tokens.find(token_id)
    checked = [check_upload(stores, upload.nonce) for upload in stores.gallery.uploads.list_open(before.token_id)]
    if checked:
        token = stores.gallery.tokens.find(token_id)
        if token.media != before.media:
            return RefreshOutcome(*_describe_upload(token))
        states = {upload.state for upload in stores.gallery.uploads.list_open(token.token_id)}
        if UploadState.RECEIVED in states or not all(checked):
            return PENDING
    return _derive_again(stores, token_id)


def clean(stores: Stores, token_id: str) -> RefreshOutcome:
    """Store the picture of a token without its metadata; raises as ``refresh``.

    Uploads that have not ended do not matter: their pictures have no metadata.
    """
    return _derive_again(stores, token_id, only_clean=True)


def _describe_upload(token: Token) -> tuple[str, str]:
    if token.media.status is MediaStatus.READY:
        return "finished_upload", "The uploaded picture has been examined, and is the token's picture now."
    return "refused_upload", f"The uploaded picture is not accepted: {token.media.reason}."


def _derive_again(stores: Stores, token_id: str, *, only_clean: bool = False) -> RefreshOutcome:
    """Derive the files of the picture again; if the picture changes meanwhile, those of the new one."""
    token = stores.gallery.tokens.find(token_id)
    for _ in range(MAX_ATTEMPTS):
        if token.media.status is not MediaStatus.READY or token.media.asset is None:
            return NO_PICTURE
        mode = KeepMode.CLEAN if only_clean or token.is_prompt_private else KeepMode.EXACT
        try:
            return _replace_files(stores, token, token.media.asset, mode)
        except (NotFound, Conflict):
            before, token = token, stores.gallery.tokens.find(token_id)
            if token.media.asset == before.media.asset:
                raise
    raise Conflict("The picture keeps changing; refresh the token later.")


def _replace_files(stores: Stores, token: Token, asset_name: str, mode: KeepMode) -> RefreshOutcome:
    asset, poster = stores.gallery.assets.find(asset_name), None
    if token.media.poster:
        poster = stores.media.get(stores.gallery.assets.find(token.media.poster).media_key)
    with fetch(stores, asset.media_key, LIMITS_BY_MODE[KeepMode.EXACT]) as file:
        kept = keep(stores, file, mode, poster)
    stores.gallery.tokens.attach_media(token.token_id, kept.media, kept.assets, expected_asset=asset_name)
    if kept.media.sha256 != token.media.sha256:
        return RefreshOutcome("cleaned", "The picture was stored without its metadata, and its files were made again.")
    return RefreshOutcome("derived", "The thumbnails were made again, and all files have new names.")
