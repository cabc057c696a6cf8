"""How files of the library are sent: whole, in part or not again, by this process or by the proxy before it."""

import base64
import re
import time
from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote

from flask import Response, request
from werkzeug.http import http_date

from api.http.context import stores
from api.http.error_responses import error_response
from api.library.sendfile_body import FileBody, count_active_downloads
from ops.infra.settings import DOWNLOADS_DIRECT, DOWNLOADS_X_ACCEL_REDIRECT, DOWNLOADS_X_SENDFILE
from schemas.errors import PreconditionFailed, RangeNotSatisfiable, ServiceError, TooManyDownloads
from schemas.http.conditional_requests import ConditionalHeaders, RangeDecision, Representation, decide
from schemas.http.content_disposition import attachment_header
from stores.library.safe_open import OpenFile

MAX_CONCURRENT_DOWNLOADS = 64
RETRY_AFTER_S = 10
NS_PER_S = 10**9
SHA256 = re.compile(r"[0-9a-f]{64}")


ERRORS: dict[int, type[ServiceError]] = {error.status: error for error in (PreconditionFailed, RangeNotSatisfiable)}


def send_opened_file(opened: OpenFile, name: str | bytes, sha256: str | None = None) -> Response:
    """The answer to a GET or HEAD for a file, under ``name``; the file is closed when the answer is over.

    ``sha256``, in hexadecimal, must be that of these very bytes: the file has the size, time and inode that it had when
    it was hashed.

    Raises:
        TooManyDownloads: the client is to come again.
    """
    try:
        response = _answered(opened, name, (sha256 or "").lower())
    except BaseException:
        opened.close()
        raise
    if not isinstance(response.response, FileBody):
        opened.close()
    return response


def _answered(opened: OpenFile, name: str | bytes, sha256: str) -> Response:
    by = stores().settings.downloads_by
    hashed = bool(SHA256.fullmatch(sha256))
    there = Representation(_etag(opened, by, sha256 if hashed else ""), _modified_s(opened), opened.size_bytes)
    asked = ConditionalHeaders.from_headers(request.method, request.headers.get)
    # What a proxy sends, it sends in parts as well.
    decision = decide(asked if by == DOWNLOADS_DIRECT else replace(asked, range=None), there)
    if error := ERRORS.get(decision.status):
        response = error_response(error())
    elif decision.status == HTTPStatus.NOT_MODIFIED:
        response = Response(status=decision.status)
    else:
        response = _content(opened, decision, by)
        response.headers["Content-Disposition"] = attachment_header(name)
        if hashed:
            response.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
    return _described(response, decision, there)


def _content(opened: OpenFile, decision: RangeDecision, by: str) -> Response:
    response = Response(status=decision.status, mimetype="application/octet-stream")
    if by != DOWNLOADS_DIRECT:
        response.headers.update(_to_the_proxy(opened, by))
        return response
    response.headers["Accept-Ranges"] = "bytes"
    if request.method != "HEAD":
        if count_active_downloads() >= MAX_CONCURRENT_DOWNLOADS:
            raise TooManyDownloads(retry_after_s=RETRY_AFTER_S)
        response.response = FileBody(opened, decision.first, decision.count, request.environ)
    response.content_length = decision.count
    return response


def _described(response: Response, decision: RangeDecision, there: Representation) -> Response:
    """With what every answer about a file says."""
    response.headers["ETag"] = there.etag
    # It may be kept, by whoever asked, and is asked for again each time: the key may be good no longer.
    response.headers["Cache-Control"] = "private, no-cache"
    if there.modified_s is not None:
        response.headers["Last-Modified"] = http_date(there.modified_s)
    if decision.content_range:
        response.headers["Content-Range"] = decision.content_range
    return response


def _to_the_proxy(opened: OpenFile, by: str) -> dict[str, str]:
    if by == DOWNLOADS_X_SENDFILE:
        return {"X-Sendfile": quote(opened.path)}
    return {"X-Accel-Redirect": f"{stores().settings.x_accel_prefix}/{opened.root_index}/{quote(opened.relative_path)}"}


def _etag(opened: OpenFile, by: str, sha256: str) -> str:
    if by == DOWNLOADS_X_ACCEL_REDIRECT:
        # As nginx makes it itself, so that it and we judge the same.
        return f'"{opened.mtime_ns // NS_PER_S:x}-{opened.size_bytes:x}"'
    if sha256:
        return f'"sha256-{sha256}"'
    return f'"{opened.size_bytes}-{opened.mtime_ns}-{opened.inode}"'


def _modified_s(opened: OpenFile) -> int | None:
    """When the file was changed, unless its time is one that cannot be or cannot be said."""
    modified_s = opened.mtime_ns // NS_PER_S
    return modified_s if 0 <= modified_s <= time.time() else None
