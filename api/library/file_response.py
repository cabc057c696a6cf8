"""Responses with files of the library, whole or in part, sent by this process or by the reverse proxy."""

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
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
ERRORS: dict[int, type[ServiceError]] = {error.status: error for error in (PreconditionFailed, RangeNotSatisfiable)}


def send_opened_file(opened: OpenFile, name: str | bytes, sha256: str | None = None) -> Response:
    """Return the response to a GET or HEAD for a file, offered under ``name``; it closes the file when it ends.

    ``sha256``, in hexadecimal, must be that of exactly these bytes: pass it only if size, time and inode of the file
    are those that it had when it was hashed.

    Raises:
        TooManyDownloads: this process sends as many files as it may.
    """
    try:
        response = _build_response(opened, name, (sha256 or "").lower())
    except BaseException:
        opened.close()
        raise
    if not isinstance(response.response, FileBody):
        opened.close()
    return response


def _build_response(opened: OpenFile, name: str | bytes, sha256: str) -> Response:
    sender = stores().settings.downloads_by
    is_hashed = bool(SHA256_PATTERN.fullmatch(sha256))
    etag = _etag(opened, sender, sha256 if is_hashed else "")
    # A download that began before the file was hashed goes on after it.
    earlier_etags = (_etag(opened, sender, ""),) if is_hashed else ()
    representation = Representation(etag, _modified_s(opened), opened.size_bytes, earlier_etags)
    headers = ConditionalHeaders.from_headers(request.method, request.headers.get)
    # A proxy that sends the file also handles its ranges.
    decision = decide(headers if sender == DOWNLOADS_DIRECT else replace(headers, range=None), representation)
    if error := ERRORS.get(decision.status):
        response = error_response(error())
    elif decision.status == HTTPStatus.NOT_MODIFIED:
        response = Response(status=decision.status)
    else:
        response = _content_response(opened, decision, sender)
        response.headers["Content-Disposition"] = attachment_header(name)
        if is_hashed:
            response.headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"
    response.headers["ETag"] = etag
    # no-cache: a cached copy is revalidated each time, because the key may have been revoked.
    response.headers["Cache-Control"] = "private, no-cache"
    if representation.modified_s is not None:
        response.headers["Last-Modified"] = http_date(representation.modified_s)
    if decision.content_range:
        response.headers["Content-Range"] = decision.content_range
    return response


def _content_response(opened: OpenFile, decision: RangeDecision, sender: str) -> Response:
    response = Response(status=decision.status, mimetype="application/octet-stream")
    if sender != DOWNLOADS_DIRECT:
        response.headers.update(_proxy_headers(opened, sender))
        return response
    response.headers["Accept-Ranges"] = "bytes"
    if request.method != "HEAD":
        if count_active_downloads() >= MAX_CONCURRENT_DOWNLOADS:
            raise TooManyDownloads(retry_after_s=RETRY_AFTER_S)
        response.response = FileBody(opened, decision.first, decision.count, request.environ)
    response.content_length = decision.count
    return response


def _proxy_headers(opened: OpenFile, sender: str) -> dict[str, str]:
    if sender == DOWNLOADS_X_SENDFILE:
        return {"X-Sendfile": quote(opened.path)}
    return {"X-Accel-Redirect": f"{stores().settings.x_accel_prefix}/{opened.root_index}/{quote(opened.relative_path)}"}


def _etag(opened: OpenFile, sender: str, sha256: str) -> str:
    if sender == DOWNLOADS_X_ACCEL_REDIRECT:
        # The format of nginx, which compares the same conditional headers with its own ETag.
        return f'"{opened.mtime_ns // NS_PER_S:x}-{opened.size_bytes:x}"'
    if sha256:
        return f'"sha256-{sha256}"'
    return f'"{opened.size_bytes}-{opened.mtime_ns}-{opened.inode}"'


def _modified_s(opened: OpenFile) -> int | None:
    """Return the modification time; None if it is before 1970 or in the future, which Last-Modified must not be."""
    modified_s = opened.mtime_ns // NS_PER_S
    return modified_s if 0 <= modified_s <= time.time() else None
