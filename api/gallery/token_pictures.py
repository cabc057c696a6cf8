"""The picture of one's own token as the picture of a profile or of a collection."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from api.gallery.lookups import own_token
from api.http.context import stores
from schemas.errors import Conflict
from schemas.gallery.asset_names import icon_name, name_like
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
    if token.media.status is not MediaStatus.READY or token.media.thumb is None:
        raise Conflict(f"picture: the token has no picture; its media is {token.media.status}.")
    name = name_like(token.media.thumb)
    # Where 64 by 64 pixels are shown, the icon has the name of the thumbnail.
    names = {token.media.thumb: name, icon_name(token.media.thumb): icon_name(name)}
    assets.add([replace(assets.find(old), name=new) for old, new in names.items()])
    try:
        yield name
    except BaseException:
        assets.release([name])
        raise
