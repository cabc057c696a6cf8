"""Recognizes files with the ending of a model that are something else, by their first bytes: failed downloads mostly.

Such a file has no identity of its own: two that are equal byte for byte (empty, the same error page) are two models.
"""

import re
from collections.abc import Mapping

from schemas.format_error import FormatError
from schemas.library.sanitize import clean_line
from schemas.library.scan_records import FileFormat

PREFIX_BYTES = 512
MAX_QUOTED_CHARS = 60
# Problems of files that are no whole model; a file with another problem may be a model that is not understood.
JUNK_CODES = frozenset(
    {
        *("empty", "zeros", "html", "lfs_pointer", "text", "other_format"),
        *("too_short", "truncated", "too_long", "no_header", "not_utf8", "not_json", "unknown_format", "bad_header"),
    }
)
_HTML = re.compile(rb"\s{0,100}(?:<!--.{0,300}-->\s{0,100})?<(?:!doctype|html|head|body|\?xml|title)\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_PICKLE_TEXT = b"("
_MAGICS: Mapping[bytes, str] = {
    b"GGUF": "a GGUF file",
    b"PK\x03\x04": "a ZIP archive or a PyTorch file",
    b"\x80\x02": "a pickle",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip file",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
}
# How files of each format may begin, of the magics above.
_OWN_MAGICS: Mapping[FileFormat, tuple[bytes, ...]] = {
    FileFormat.GGUF: (b"GGUF",),
    FileFormat.PICKLE: (b"PK\x03\x04", b"\x80\x02"),
}


def check_is_model(prefix: bytes, kind: FileFormat, size_bytes: int) -> None:
    """Check the first ``PREFIX_BYTES`` bytes of a file.

    Raises:
        FormatError: the file is something else; the message says what.
    """
    if not size_bytes:
        raise FormatError("empty", "The file is empty: a download that failed?")
    if len(prefix) >= 8 and not prefix.strip(b"\0"):
        raise FormatError("zeros", "The file begins with zeros only: a download that is not complete?")
    if prefix.startswith(b"version https://git-lfs"):
        raise FormatError("lfs_pointer", "The file is a Git LFS pointer, not the model: run 'git lfs pull'.")
    if _HTML.match(prefix):
        raise FormatError("html", "The file is an HTML page: its address needs a login, or does not exist.")
    magic = next((magic for magic in _MAGICS if prefix.startswith(magic)), None)
    if magic is not None and magic not in _OWN_MAGICS.get(kind, ()):
        raise FormatError("other_format", f"The file is {_MAGICS[magic]}, whatever its name says: rename or remove it.")
    is_pickle_text = kind is FileFormat.PICKLE and prefix.startswith(_PICKLE_TEXT)
    if len(prefix) >= 8 and not is_pickle_text and not _CONTROL.search(prefix) and _is_utf8(prefix):
        quoted = clean_line(prefix.decode(errors="ignore"))[:MAX_QUOTED_CHARS]
        raise FormatError("text", f"The file is text, not a model: {quoted!r}. Download it again.")


def _is_utf8(prefix: bytes) -> bool:
    """Whether the bytes are UTF-8; the last character may be cut."""
    try:
        prefix.decode()
    except UnicodeDecodeError as error:
        return error.start > len(prefix) - 4
    return True
