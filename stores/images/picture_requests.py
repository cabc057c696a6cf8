"""Requests to background processes to keep a picture for the gallery, or to derive a token's files again."""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import IO, Any

from redis import Redis

from schemas.errors import Conflict, Invalid, NotFound, ServiceError, Unavailable
from schemas.gallery.pictures import KeepMode, KeptPicture, RefreshOutcome, make_scratch_key
from schemas.messages import KEEP_PICTURE, REFRESH_TOKEN
from stores.media import Media
from stores.queue.messages import Queue
from stores.redis.keys import gallery_picture_key
from stores.redis.request_reply import ReplyKeys, RequestReply

# The time limit of one derivation, plus some time in the queue.
TIMEOUT_S = 75.0
PENDING_TTL_S = 90
RESULT_TTL_S = 300
# Short, because the next attempt may have another result.
FAILURE_TTL_S = 5
RETRY_AFTER_S = 5
ERRORS: Mapping[str, type[ServiceError]] = {error.code: error for error in (Invalid, NotFound, Conflict, Unavailable)}


class PictureRequests:
    """Requests and their answers in one Redis; the pictures themselves are in the media store meanwhile."""

    def __init__(self, client: Redis, queue: Queue, media: Media) -> None:
        self._request_reply = RequestReply(client)
        self._queue = queue
        self._media = media

    def keep_bytes(self, data: bytes, mode: KeepMode, poster: bytes | None = None) -> KeptPicture:
        """Keep a picture that is in memory; see ``keep_file``."""
        return self._keep(lambda key: self._media.put(key, data), mode, poster)

    def keep_file(self, file: IO[bytes], mode: KeepMode) -> KeptPicture:
        """Have a picture examined, and its objects stored; its assets are the caller's to add, within minutes.

        With a ``poster``, a JPEG, also a video or a picture that is too large to be decoded.

        Raises:
            Invalid: it is not an acceptable picture; ``details["reason"]`` is a code for the reason.
            Unavailable: no result in time, or the media store does not answer.
        """
        return self._keep(lambda key: self._media.put_file(key, file), mode, None)

    def keep_object(self, media_key: str, mode: KeepMode) -> KeptPicture:
        """Keep a picture that is an object of the media store; raises NotFound, and as ``keep_file``."""
        return self._keep(lambda key: self._media.copy(media_key, key), mode, None)

    def refresh(self, token_id: str, mode: KeepMode = KeepMode.EXACT) -> RefreshOutcome:
        """Have the files of a token's picture made again, under new names; CLEAN removes its metadata in any case.

        Raises:
            NotFound, Conflict: the token has gone, or gets other pictures meanwhile.
            Invalid: the picture cannot be stored without its metadata, and has to be.
            Unavailable: no result in time, or the media store does not answer.
        """
        # A name of its own: the answer to an earlier request says nothing about this one.
        name = f"{token_id}/{secrets.token_hex(8)}"
        return RefreshOutcome(**self._ask(name, lambda: self._queue.send(REFRESH_TOKEN, token_id, name, mode.value)))

    def is_requested(self, name: str) -> bool:
        """Whether a caller waits for the answer to the request ``name``, and there is none yet."""
        return self._request_reply.is_pending(_keys(name))

    def answer(self, name: str, result: KeptPicture | RefreshOutcome | ServiceError) -> None:
        """Store a result and wake the callers that wait for it."""
        ttl_s = RESULT_TTL_S
        if isinstance(result, ServiceError):
            record: dict[str, Any] = {"error": result.code, "message": result.message, "details": result.details}
            ttl_s = FAILURE_TTL_S
        elif isinstance(result, RefreshOutcome):
            record = {"result": asdict(result)}
        else:
            record = {"result": result.to_json()}
        self._request_reply.reply(_keys(name), json.dumps(record).encode(), ttl_ms=ttl_s * 1000)

    def _keep(self, put: Callable[[str], None], mode: KeepMode, poster: bytes | None) -> KeptPicture:
        key = make_scratch_key()
        poster_key = f"{key}-poster" if poster else ""
        try:
            put(key)
            if poster:
                self._media.put(poster_key, poster)
            return KeptPicture.from_json(
                self._ask(key, lambda: self._queue.send(KEEP_PICTURE, key, mode.value, poster_key))
            )
        finally:
            # If the storage is unavailable, the sweep deletes the object later.
            self._discard(key, poster_key)

    def _discard(self, *keys: str) -> None:
        for key in filter(None, keys):
            try:
                self._media.delete(key)
            except Unavailable:
                return

    def _ask(self, name: str, send: Callable[[], None]) -> Any:
        answer = self._request_reply.request(
            _keys(name), send, timeout_s=TIMEOUT_S, pending_ttl_s=PENDING_TTL_S, extend_pending=True
        )
        if answer is None:
            raise Unavailable("Examining the picture timed out.", retry_after_s=RETRY_AFTER_S)
        record = json.loads(answer)
        if "error" in record:
            raise ERRORS.get(record["error"], ServiceError)(record["message"], **record["details"])
        return record["result"]


def _keys(name: str) -> ReplyKeys:
    return ReplyKeys.below(gallery_picture_key(name))
