"""How a file's name is told to those who download it: the header Content-Disposition, RFC 6266 and 8187. Pure."""

import re
import unicodedata
from urllib.parse import quote

FALLBACK_NAME = "model"
MAX_NAME_LENGTH = 200
MAX_SUFFIX_LENGTH = 20
# The characters that RFC 8187 lets stand for themselves, beside letters, digits and those that are never quoted.
PLAIN = "!#$&+-.^_`|~"
# What a name may not have on one system or another, or what is no letter at all: controls, marks of direction, halves
# of characters, line separators, private ones.
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_SEPARATORS = re.compile(r'[/\\:*?"<>|]')
# A semicolon ends the name for simple clients, and some read a percent sign as the beginning of an escape.
_NOT_IN_QUOTES = re.compile(r"[^\x20-\x7e]|[%;]")


def attachment_header(name: str | bytes) -> str:
    """The header's value for a file of that name: in ASCII first, then in full.

    Bytes need not be UTF-8: what cannot be read is shown as unreadable. What must not be in a name is left out.
    """
    text = _presentable(name)
    plain = unicodedata.normalize("NFKD", text)
    plain = "".join(one for one in plain if not unicodedata.combining(one)) or FALLBACK_NAME
    return f"attachment; filename=\"{_NOT_IN_QUOTES.sub('_', plain)}\"; filename*=UTF-8''{quote(text, safe=PLAIN)}"


def _presentable(name: str | bytes) -> str:
    """The name as any system can keep it: one line, no separators, no marks that turn it around, not too long."""
    # Names from the file system carry unreadable bytes as halves of characters.
    encoded = name if isinstance(name, bytes) else name.encode(errors="replace")
    text = "".join(one for one in encoded.decode(errors="replace") if unicodedata.category(one) not in UNSEEN)
    text = _SEPARATORS.sub("_", text).strip(" .")
    stem, dot, suffix = text.rpartition(".")
    if dot and len(suffix) <= MAX_SUFFIX_LENGTH:
        return f"{stem[:MAX_NAME_LENGTH]}.{suffix}"
    return text[:MAX_NAME_LENGTH] or FALLBACK_NAME
