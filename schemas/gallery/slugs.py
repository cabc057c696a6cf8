"""Slugs: the names of collections in URLs, kebab-case ASCII, made from a name or given."""

import re

from anyascii import anyascii

from schemas.errors import Invalid
from schemas.gallery.encodings import is_address

MAX_SLUG_LENGTH = 80
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
# Path segments of the API and of pages in places where a slug can be.
RESERVED = frozenset(
    {"virtual", "next", "token", "tokens", "slug-from-id", "collection", "collections", "new", "latest", "edit"}
    | {"api", "assets", "images", "static", "null", "undefined"}
)
# The slug of a collection whose name has no letter or digit.
FALLBACK = "untitled"
_SEPARATORS = re.compile(r"[^a-z0-9]+", re.ASCII)
_APOSTROPHES = re.compile(r"['`\u2019\u02bc]")


def make_slug(name: str) -> str:
    """Return the kebab of a name, in ASCII; it may be reserved or taken.

    Letters of other scripts are transliterated: ``"Ёлка 漢字"`` becomes ``"elka-hanzi"``.
    """
    # A letter never becomes more than a few; a bound before the work keeps huge names cheap.
    text = anyascii(_APOSTROPHES.sub("", name[: 4 * MAX_SLUG_LENGTH])).lower()
    return _cut(_SEPARATORS.sub("-", text).strip("-")) or FALLBACK


def suggest_slugs(slug: str, count: int) -> list[str]:
    """Return slugs that resemble ``slug``, in the order in which they are suggested."""
    if is_address(slug):
        slug = f"c-{slug}"
    return [f"{_cut(slug, MAX_SLUG_LENGTH - 1 - len(str(number)))}-{number}" for number in range(2, count + 2)]


def is_forbidden(slug: str) -> bool:
    """Return whether a path could not tell the slug from something else."""
    return slug in RESERVED or is_address(slug)


def check_slug(slug: str) -> str:
    """Return a slug that a caller gives, without surrounding white space.

    Raises:
        Invalid: it is not kebab-case or too long.
    """
    slug = slug.strip()
    if not SLUG.fullmatch(slug) or len(slug) > MAX_SLUG_LENGTH:
        example = make_slug(slug)
        raise Invalid(
            problems=[f"slug: lower-case letters, digits and single hyphens, at most {MAX_SLUG_LENGTH}: {example!r}."],
            suggestion=example,
        )
    return slug


def _cut(slug: str, length: int = MAX_SLUG_LENGTH) -> str:
    return slug[:length].rstrip("-")
