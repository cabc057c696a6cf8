"""Changes of tokens that concern their pictures too."""

from collections.abc import Mapping
from typing import Any

from api.http.context import caller, stores
from schemas.errors import Conflict, Invalid
from schemas.gallery.pictures import KeepMode
from schemas.gallery.tokens import MediaStatus, Token


def change_token(token: Token, changes: Mapping[str, Any]) -> Token:
    """Change fields of a token of the caller.

    A prompt becomes private once the picture has no metadata any more, because programs write the prompt there.

    Raises:
        NotFound: the token has gone.
        Conflict: the picture cannot be stored without its metadata; nothing has been changed.
        Unavailable: the picture was not examined in time; nothing has been changed.
    """
    becomes_private = changes.get("is_prompt_private") and not token.is_prompt_private
    if becomes_private and token.media.status is MediaStatus.READY:
        try:
            stores().gallery_media.pictures.refresh(token.token_id, KeepMode.CLEAN)
        except Invalid as error:
            reason = f"the metadata of its picture may contain it, and cannot be removed: {error.message}"
            raise Conflict(f"The prompt cannot become private: {reason}", **error.details) from error
    return stores().gallery.tokens.update(caller().id, token.token_id, changes)
