"""Inspection of uploaded images: a background process decodes the image while the caller waits for the result."""

import json
import math
from typing import Any

from redis import Redis

from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from schemas.images.inspected_image import StoredImage
from schemas.messages import ALPHA_MASK, INSPECT_IMAGE
from stores.queue.messages import Queue
from stores.redis.keys import image_inspection_key
from stores.redis.request_reply import ReplyKeys, RequestReply

# The time limit of one inspection, plus some time in the queue.
INSPECTION_TIMEOUT_S = 40.0
RESULT_TTL_S = 600
# Short, because the next attempt may have another result.
FAILURE_TTL_S = 10
RETRY_AFTER_S = 5
ERRORS: dict[str, type[ServiceError]] = {error.code: error for error in (Invalid, NotFound, Unavailable)}


class ImageInspections:
    """Inspections of uploads, named by their keys in the media store."""

    def __init__(self, client: Redis, queue: Queue) -> None:
        self._request_reply = RequestReply(client)
        self._queue = queue

    def inspect(self, key: str, timeout_s: float, *, is_alpha_mask: bool = False) -> StoredImage:
        """Return the inspection's result; concurrent calls for one upload share one inspection.

        Of an ``is_alpha_mask``, what is stored is white where the upload is transparent, and black elsewhere.

        Raises:
            Invalid: the upload is not an acceptable image; ``details["reason"]`` is a code for the reason.
            NotFound: there is no such upload.
            Unavailable: no result in time, or the media store does not answer.
        """
        answer = self._request_reply.request(
            _keys(key),
            lambda: self._queue.send(INSPECT_IMAGE, key, *([ALPHA_MASK] if is_alpha_mask else [])),
            timeout_s=timeout_s,
            pending_ttl_s=math.ceil(timeout_s) + 1,
            extend_pending=True,
        )
        if answer is None:
            raise Unavailable("Image inspection timed out.", retry_after_s=RETRY_AFTER_S)
        return _decode(answer)

    def is_requested(self, key: str) -> bool:
        """Whether a caller waits for the result and there is none yet."""
        return self._request_reply.is_pending(_keys(key))

    def answer(self, key: str, result: StoredImage | ServiceError) -> None:
        """Store a result and wake the callers that wait for it."""
        if isinstance(result, StoredImage):
            record: dict[str, Any] = {"examined": result.to_json()}
        else:
            record = {"error": result.code, "message": result.message, "details": result.details}
        ttl_s = FAILURE_TTL_S if isinstance(result, Unavailable) else RESULT_TTL_S
        self._request_reply.reply(_keys(key), json.dumps(record).encode(), ttl_ms=ttl_s * 1000)


def _decode(answer: bytes) -> StoredImage:
    record = json.loads(answer)
    if "examined" in record:
        return StoredImage.from_json(record["examined"])
    raise ERRORS.get(record["error"], ServiceError)(record["message"], **record["details"])


def _keys(key: str) -> ReplyKeys:
    return ReplyKeys.below(image_inspection_key(key))
