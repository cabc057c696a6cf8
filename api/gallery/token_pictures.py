"""The picture of one's own token as the picture of a profile or of a collection."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from api.gallery.lookups import own_token
from api.http.context import stores
from schemas.errors import Conflict
from schemas.gallery.asset_names import name_like
from schemas.gallery.tokens import MediaStatus


@contextmanager
def own_picture(token_id: str | None) -> Iterator[str | None]:
    """Yield a new name of a token's picture, for what is to show it; None without a token.

    The name is released again if the block raises, and by what has it when its picture changes.

    Raises:
        NotFound, Forbidden: there is no such token, or it is another caller's.
        Conflict: it has no picture.
    """
    if token_id is None:
        yield None
        return
    token, assets = own_token(token_id), stores().gallery.assets
    if token.media.status is not MediaStatus.READY or token.media.asset is None:
        raise Conflict(f"picture: the token has none: its media is {token.media.status}.")
    asset = assets.find(token.media.asset)
    copy = replace(asset, name=name_like(asset.name))
    assets.add([copy])
    try:
        yield copy.name
    except BaseException:
        assets.release([copy.name])
        raise
