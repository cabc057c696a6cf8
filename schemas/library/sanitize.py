"""What of strangers' texts may reach a page: descriptions as harmless HTML, and one-line texts as one line. Pure."""

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
# Control characters but tab and line ends; halves of surrogate pairs, which no database takes.
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Marks that turn the direction of what follows: a name with one can make another of the line it stands in.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
# Parsers take time by the square of how deep tags nest, so that these are counted.
MAX_TAGS = 8000
_ANY_TAG = re.compile(r"<[^>]*>")
_TAG = re.compile(r"</?[a-z]", re.IGNORECASE | re.ASCII)
# Open formatting is repeated by parsers in each paragraph that follows, as often as it differs by an attribute: a few
# kilobytes become megabytes. None of it keeps an attribute in the end, so that it may as well begin without.
_FORMATTING = re.compile(r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)\b[^>]*>", re.IGNORECASE | re.ASCII)
_CLEANER = nh3.Cleaner(
    tags=set(ALLOWED_TAGS),
    # Without a word on all tags, titles and languages would be left.
    attributes={"*": set(), "a": {"href"}},
    url_schemes=set(ALLOWED_SCHEMES),
    url_relative="deny",
    link_rel="noopener noreferrer nofollow ugc",
)


def sanitize_html(text: str) -> str:
    """``text`` as HTML that cannot do anything: a few tags, links to elsewhere, no pictures.

    Markdown goes the same way: what is HTML in it is cleaned, the rest stays as it is, escaped.
    """
    bounded = clean_multiline(text)
    rest = next(islice(_TAG.finditer(bounded), MAX_TAGS, None), None)
    return _CLEANER.clean(_FORMATTING.sub(r"<\1>", bounded[: rest.start()] if rest else bounded))


def clean_multiline(text: str) -> str:
    """``text`` without what no text has, bounded; it may have several lines."""
    return _UNWANTED.sub("", text[:MAX_TEXT_CHARS]).strip()


def strip_control_chars(text: str) -> str:
    """``text`` without what no text has, and otherwise as it is."""
    return _UNWANTED.sub("", text)


def clean_line(text: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """``text`` in one line and bounded. It is text and no HTML: whoever shows it escapes it, as any other."""
    plain = _TURNING.sub("", _UNWANTED.sub(" ", text[: 4 * max_chars]))
    return " ".join(plain.split())[:max_chars].strip()


def html_to_text(html: str, max_chars: int = MAX_LINE_CHARS) -> str:
    """What a description says, without its tags, in one line."""
    bounded = sanitize_html(html[: 8 * max_chars])
    return clean_line(unescape(_ANY_TAG.sub(" ", bounded)), max_chars)
