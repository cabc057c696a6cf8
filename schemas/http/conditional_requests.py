"""Which part of a file a request is answered with, and under which conditions: RFC 9110, 13 and 14. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Self

READING = ("GET", "HEAD")
# Beyond any file, and within what Python reads as a number however many digits there are.
BEYOND = 10**19
MOST_DIGITS = 19

_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t,]*{_TAG}(?:[ \t]*,[ \t,]*{_TAG})*[ \t,]*")
_ONE_TAG = re.compile(_TAG)
_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_DATE = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [1-9][0-9]{3} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    r"|[A-Z][a-z]{5,8}, [0-9]{2}-[A-Z][a-z]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [1-9][0-9]{3}"
)


@dataclass(frozen=True, slots=True)
class Representation:
    """What there is to send: a strong ETag with its quotes, seconds since 1970 or None, bytes."""

    etag: str
    modified_s: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ConditionalHeaders:
    """A request's method and those of its headers that decide; None where it has none."""

    method: str = "GET"
    if_match: str | None = None
    if_unmodified_since: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    range: str | None = None
    if_range: str | None = None

    @classmethod
    def from_headers(cls, method: str, header: Callable[[str], str | None]) -> Self:
        """From what looks headers up by name; one that came several times is joined by commas."""
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
    """The answer: 200, 206, 304, 412 or 416, and of 200 and 206 the first byte and how many, of how many in all."""

    status: HTTPStatus
    size_bytes: int
    first: int = 0
    count: int = 0

    @property
    def content_range(self) -> str | None:
        """The header of that name, where the answer has one."""
        if self.status == HTTPStatus.PARTIAL_CONTENT:
            return f"bytes {self.first}-{self.first + self.count - 1}/{self.size_bytes}"
        if self.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return f"bytes */{self.size_bytes}"
        return None


def decide(request: ConditionalHeaders, representation: Representation) -> RangeDecision:
    """What is sent, in the order of RFC 9110, 13.2.2.

    Several ranges at once are answered with the whole, and so is a range that means nothing.
    """
    if not _is_the_expected(request, representation):
        return RangeDecision(HTTPStatus.PRECONDITION_FAILED, representation.size_bytes)
    if _is_known(request, representation):
        known = HTTPStatus.NOT_MODIFIED if request.method in READING else HTTPStatus.PRECONDITION_FAILED
        return RangeDecision(known, representation.size_bytes)
    if request.method == "GET" and request.range is not None and _is_same(request.if_range, representation):
        return _part(request.range, representation.size_bytes)
    return _whole(representation.size_bytes)


def _whole(size_bytes: int) -> RangeDecision:
    return RangeDecision(HTTPStatus.OK, size_bytes, 0, size_bytes)


def _is_the_expected(asked: ConditionalHeaders, there: Representation) -> bool:
    """If-Match (strong comparison), else If-Unmodified-Since."""
    if asked.if_match is not None:
        return asked.if_match.strip(" \t") == "*" or there.etag in _tags(asked.if_match)
    since = _date(asked.if_unmodified_since)
    return since is None or there.modified_s is None or there.modified_s <= since


def _is_known(asked: ConditionalHeaders, there: Representation) -> bool:
    """If-None-Match (weak comparison), else If-Modified-Since."""
    if asked.if_none_match is not None:
        tags = [tag.removeprefix("W/") for tag in _tags(asked.if_none_match)]
        return asked.if_none_match.strip(" \t") == "*" or there.etag in tags
    since = _date(asked.if_modified_since) if asked.method in READING else None
    return since is not None and there.modified_s is not None and there.modified_s <= since


def _is_same(if_range: str | None, there: Representation) -> bool:
    """If-Range: a strong comparison, or the very same date."""
    if if_range is None:
        return True
    date = _date(if_range)
    return if_range.strip(" \t") == there.etag or (date is not None and date == there.modified_s)


def _tags(text: str) -> list[str]:
    """The entity tags of a list, with quotes and ``W/``; none of a list that is not well formed."""
    return _ONE_TAG.findall(text) if _TAGS.fullmatch(text) else []


def _date(text: str | None) -> int | None:
    """Seconds since 1970, if that is a date of HTTP in any of its three forms."""
    text = (text or "").strip(" \t")
    if not _DATE.fullmatch(text):
        return None
    try:
        return int(parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _part(text: str, size_bytes: int) -> RangeDecision:
    unit, _, listed = text.partition("=")
    words = [word for part in listed.split(",") if (word := part.strip(" \t"))]
    spans = [_span(word, size_bytes) for word in words]
    if unit.strip(" \t").lower() != "bytes" or not spans or None in spans:
        return _whole(size_bytes)
    if not any(spans):
        return RangeDecision(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, size_bytes)
    if len(spans) > 1 or not spans[0]:
        return _whole(size_bytes)
    return RangeDecision(HTTPStatus.PARTIAL_CONTENT, size_bytes, spans[0].start, len(spans[0]))


def _span(word: str, size_bytes: int) -> range | None:
    """The bytes that ``a-b``, ``a-`` or ``-n`` asks for, empty if there are none such; None if it means nothing."""
    found = _RANGE.fullmatch(word)
    if not found or word == "-":
        return None
    first, last = found.groups()
    if not first:
        # The last bytes of an empty file are nothing, and a part that is nothing cannot be written.
        ignored = size_bytes == 0 and _number(last) > 0
        return None if ignored else range(max(0, size_bytes - _number(last)), size_bytes)
    if last and _number(last) < _number(first):
        return None
    return range(_number(first), min(size_bytes, _number(last) + 1) if last else size_bytes)


def _number(digits: str) -> int:
    plain = digits.lstrip("0") or "0"
    return int(plain) if len(plain) <= MOST_DIGITS else BEYOND
