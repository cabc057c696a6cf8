"""Sanitizes untrusted texts for display: descriptions as safe HTML, names as single lines."""

import re
from html import unescape
from itertools import islice

import nh3

MAX_TEXT_CHARS = 200_000
MAX_LINE_CHARS = 2000
ALLOWED_TAGS = frozenset(
    {
        *("p", "br", "hr", "ul", "ol", "li", "blockquote", "code", "pre"),
        *("h1", "h2", "h3", "h4", "h5", "h6"),
        *("strong", "b", "em", "i", "u", "s", "a"),
    }
)
ALLOWED_SCHEMES = frozenset({"http", "https", "mailto"})
# The parser's time is quadratic in the nesting depth of tags.
MAX_TAGS = 8000
# Control characters except tab and line breaks; lone surrogates, which databases refuse.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Bidirectional control characters: a name with one could change how the text around it reads.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# In sanitized HTML, attributes have no angle brackets.
_ANY_TAG = re.compile(r"<[^<>]*>")
_TAG = re.compile(r"</?[a-z]", re.IGNORECASE | re.ASCII)
# HTML parsers reopen unclosed formatting elements in every following paragraph, once for each distinct set of
# attributes, so a few kilobytes become megabytes. The attributes would be removed anyway.
_FORMATTING = re.compile(r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)\b[^>]*>", re.IGNORECASE | re.ASCII)
_CLEANER = nh3.Cleaner(
    tags=set(ALLOWED_TAGS),
    # Without the entry for all tags, nh3 keeps title and lang.
    attributes={"*": set(), "a": {"href"}},
    url_schemes=set(ALLOWED_SCHEMES),
    url_relative="deny",
    link_rel="noopener noreferrer nofollow ugc",
)


def sanitize_html(text: str) -> str:
    """Return ``text`` as safe HTML: a few tags, absolute links, no images.

    Markdown passes through: HTML in it is sanitized, and the rest is escaped.
    """
    bounded = clean_multiline(text)
    excess = next(islice(_TAG.finditer(bounded), MAX_TAGS, None), None)
    return _CLEANER.clean(_FORMATTING.sub(r"<\1>", bounded[: excess.start()] if excess else bounded))


def clean_multiline(text: str) -> str:
    """Return ``text`` without control characters, stripped and bounded; line breaks stay."""
    return _CONTROL.sub("", text[:MAX_TEXT_CHARS]).strip()


def strip_control_chars(text: str) -> str:
    """Return ``text`` without control characters and lone surrogates."""
    return _CONTROL.sub("", text)


def clean_line(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """Return ``text`` as one bounded line without control characters; it must still be escaped in HTML."""
    line = _BIDI.sub("", _CONTROL.sub(" ", text[: 4 * max_chars]))
    return " ".join(line.split())[:max_chars].strip()


def html_to_text(html: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """Return the text of untrusted HTML, as one line."""
    bounded = sanitize_html(html[: 8 * max_chars])
    return clean_line(unescape(_ANY_TAG.sub(" ", bounded)), max_chars)
