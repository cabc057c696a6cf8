"""The Content-Disposition header of downloads (RFC 6266, RFC 8187), for file names from untrusted sources."""

import re
import unicodedata
from urllib.parse import quote

FALLBACK_NAME = "model"
MAX_NAME_LENGTH = 200
MAX_SUFFIX_LENGTH = 20
# Characters that RFC 8187 allows unescaped, besides letters and digits.
_RFC_8187_SAFE = "!#$&+-.^_`|~"
# Unicode categories removed from names: controls, bidirectional marks, surrogates, private and unassigned characters,
# line separators.
_REMOVED_CATEGORIES = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# Not allowed in file names on at least one system.
_SEPARATORS = re.compile(r'[/\\:*?"<>|]')
# A semicolon ends the name for simple clients, and some decode percent escapes.
_UNSAFE_IN_QUOTES = re.compile(r"[^\x20-\x7e]|[%;]")


def attachment_header(name: str | bytes) -> str:
    """Return the header value that downloads a file under ``name``, as ASCII and in full.

    Bytes need not be UTF-8: undecodable ones become replacement characters. Characters that are unsafe in a file name
    are removed or replaced by underscores.
    """
    full = _sanitize(name)
    decomposed = unicodedata.normalize("NFKD", full)
    plain = "".join(character for character in decomposed if not unicodedata.combining(character)) or FALLBACK_NAME
    quoted = _UNSAFE_IN_QUOTES.sub("_", plain)
    return f"attachment; filename=\"{quoted}\"; filename*=UTF-8''{quote(full, safe=_RFC_8187_SAFE)}"


def _sanitize(name: str | bytes) -> str:
    """Return a name that every system accepts: one short line without separators or bidirectional marks."""
    # Python represents undecodable bytes of file names as lone surrogates, which cannot be encoded.
    encoded = name if isinstance(name, bytes) else name.encode(errors="replace")
    decoded = encoded.decode(errors="replace")
    visible = "".join(char for char in decoded if unicodedata.category(char) not in _REMOVED_CATEGORIES)
    text = _SEPARATORS.sub("_", visible).strip(" .")
    stem, dot, suffix = text.rpartition(".")
    if dot and len(suffix) <= MAX_SUFFIX_LENGTH:
        return f"{stem[:MAX_NAME_LENGTH]}.{suffix}"
    return text[:MAX_NAME_LENGTH] or FALLBACK_NAME
