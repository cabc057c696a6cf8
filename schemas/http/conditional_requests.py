"""Conditional requests and byte ranges for downloads (RFC 9110, sections 13 and 14).

Malformed conditions and ranges are ignored, as the RFC demands. Several ranges at once are answered with the whole
file, which the RFC allows.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Self

READ_METHODS = ("GET", "HEAD")
# Stands for any number with more digits: larger than any file. Python limits the digits that int() converts.
BEYOND_ANY_FILE = 10**19
MAX_DIGITS = 19

_ETAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_ETAG_LIST = re.compile(rf"[ \t,]*{_ETAG}(?:[ \t]*,[ \t,]*{_ETAG})*[ \t,]*")
_ONE_ETAG = re.compile(_ETAG)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
# The three forms of HTTP dates: IMF-fixdate, RFC 850, asctime.
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [1-9][0-9]{3} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    r"|[A-Z][a-z]{5,8}, [0-9]{2}-[A-Z][a-z]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [1-9][0-9]{3}"
)


@dataclass(frozen=True, slots=True)
class Representation:
    """The file to send: its strong ETag with quotes, its modification time in Unix seconds or None, its size.

    ``earlier_etags`` are those that the same bytes had before: conditions that name one hold.
    """

    etag: str
    modified_s: int | None
    size_bytes: int
    earlier_etags: tuple[str, ...] = ()

    @property
    def etags(self) -> frozenset[str]:
        """All ETags of these bytes."""
        return frozenset((self.etag, *self.earlier_etags))


@dataclass(frozen=True, slots=True)
class ConditionalHeaders:
    """The method of a request and its conditional headers, each None if absent."""

    method: str = "GET"
    if_match: str | None = None
    if_unmodified_since: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    range: str | None = None
    if_range: str | None = None

    @classmethod
    def from_headers(cls, method: str, header: Callable[[str], str | None]) -> Self:
        """Read the headers by a function that returns a header's value, with repeated ones joined by commas."""
        return cls(
            method=method,
            if_match=header("If-Match"),
            if_unmodified_since=header("If-Unmodified-Since"),
            if_none_match=header("If-None-Match"),
            if_modified_since=header("If-Modified-Since"),
            range=header("Range"),
            if_range=header("If-Range"),
        )


@dataclass(frozen=True, slots=True)
class RangeDecision:
    """The status to send: 200, 206, 304, 412 or 416; for 200 and 206 also the first byte and the number of bytes."""

    status: HTTPStatus
    size_bytes: int
    first: int = 0
    count: int = 0

    @property
    def content_range(self) -> str | None:
        """The value of Content-Range, or None if the response has none."""
        if self.status == HTTPStatus.PARTIAL_CONTENT:
            return f"bytes {self.first}-{self.first + self.count - 1}/{self.size_bytes}"
        if self.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return f"bytes */{self.size_bytes}"
        return None


def decide(request: ConditionalHeaders, representation: Representation) -> RangeDecision:
    """Evaluate the conditions in the order of RFC 9110, section 13.2.2, and then the range."""
    if not _passes_if_match(request, representation):
        return RangeDecision(HTTPStatus.PRECONDITION_FAILED, representation.size_bytes)
    if _is_cached(request, representation):
        is_read = request.method in READ_METHODS
        status = HTTPStatus.NOT_MODIFIED if is_read else HTTPStatus.PRECONDITION_FAILED
        return RangeDecision(status, representation.size_bytes)
    if request.method == "GET" and request.range is not None and _passes_if_range(request.if_range, representation):
        return _decide_range(request.range, representation.size_bytes)
    return _whole(representation.size_bytes)


def _whole(size_bytes: int) -> RangeDecision:
    return RangeDecision(HTTPStatus.OK, size_bytes, 0, size_bytes)


def _passes_if_match(request: ConditionalHeaders, representation: Representation) -> bool:
    """Evaluate If-Match (strong comparison), or else If-Unmodified-Since."""
    if request.if_match is not None:
        return request.if_match.strip(" \t") == "*" or not representation.etags.isdisjoint(
            _parse_etags(request.if_match)
        )
    since = _parse_date(request.if_unmodified_since)
    return since is None or representation.modified_s is None or representation.modified_s <= since


def _is_cached(request: ConditionalHeaders, representation: Representation) -> bool:
    """Evaluate If-None-Match (weak comparison), or else If-Modified-Since."""
    if request.if_none_match is not None:
        etags = [etag.removeprefix("W/") for etag in _parse_etags(request.if_none_match)]
        return request.if_none_match.strip(" \t") == "*" or not representation.etags.isdisjoint(etags)
    since = _parse_date(request.if_modified_since) if request.method in READ_METHODS else None
    return since is not None and representation.modified_s is not None and representation.modified_s <= since


def _passes_if_range(if_range: str | None, representation: Representation) -> bool:
    """Evaluate If-Range: a strong comparison of ETags, or the exact date."""
    if if_range is None:
        return True
    date = _parse_date(if_range)
    return if_range.strip(" \t") in representation.etags or (date is not None and date == representation.modified_s)


def _parse_etags(text: str) -> list[str]:
    """Return the ETags of a list, with quotes and ``W/``; none if the list is malformed."""
    return _ONE_ETAG.findall(text) if _ETAG_LIST.fullmatch(text) else []


def _parse_date(text: str | None) -> int | None:
    """Return the Unix time of an HTTP date, or None if it is absent or malformed."""
    text = (text or "").strip(" \t")
    if not _DATE.fullmatch(text):
        return None
    try:
        return int(parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _decide_range(text: str, size_bytes: int) -> RangeDecision:
    unit, _, listed = text.partition("=")
    specs = [spec for part in listed.split(",") if (spec := part.strip(" \t"))]
    ranges = [_parse_range(spec, size_bytes) for spec in specs]
    if unit.strip(" \t").lower() != "bytes" or not ranges or None in ranges:
        return _whole(size_bytes)
    if not any(ranges):
        return RangeDecision(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, size_bytes)
    if len(ranges) > 1 or not ranges[0]:
        return _whole(size_bytes)
    return RangeDecision(HTTPStatus.PARTIAL_CONTENT, size_bytes, ranges[0].start, len(ranges[0]))


def _parse_range(spec: str, size_bytes: int) -> range | None:
    """Return the bytes of ``a-b``, ``a-`` or ``-n``, empty if outside the file; None if the spec is malformed."""
    match = _RANGE.fullmatch(spec)
    if not match or spec == "-":
        return None
    first, last = match.groups()
    if not first:
        # The last bytes of an empty file are an empty range, which Content-Range cannot express: send the whole.
        if size_bytes == 0 and _to_int(last) > 0:
            return None
        return range(max(0, size_bytes - _to_int(last)), size_bytes)
    if last and _to_int(last) < _to_int(first):
        return None
    return range(_to_int(first), min(size_bytes, _to_int(last) + 1) if last else size_bytes)


def _to_int(digits: str) -> int:
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= MAX_DIGITS else BEYOND_ANY_FILE
