"""What is found out about an uploaded picture, and how that is written down. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from schemas.fields import to_camel_case, to_snake_case

# The types that are taken, and the ending of a file's name for each.
ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/gif": "gif"}
MEDIA_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
ACCEPTED_FORMATS = "JPEG, PNG, WebP and GIF are taken"
# Where the media store has what has just come in, and what is kept.
UPLOADS_PREFIX, LIBRARY_PREFIX = "uploads", "library"
MAX_IMAGE_BYTES = 50 * 1024 * 1024
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
BLURHASH_PATTERN = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,100}")


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """What a picture is, by its bytes.

    ``width`` and ``height`` are those that one sees, in pixels: a camera's turn is taken into account. ``sha256`` and
    ``size_bytes`` are of the picture alone, without what stood behind its end. ``generation`` is how it was made, as
    JSON, or None if it does not say.
    """

    type: str
    width: int
    height: int
    animated: bool
    blurhash: str
    sha256: str
    size_bytes: int
    generation: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """Under the names of the wire."""
        return {to_camel_case(name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """As ``to_json`` wrote it.

        Raises:
            ValueError: it did not.
        """
        try:
            seen = cls(**{to_snake_case(name): value for name, value in kept.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError("these are not the findings about a picture") from error
        if wrong := [name for name, holds in _RULES.items() if not holds(getattr(seen, name))]:
            raise ValueError(f"findings about a picture with a wrong {wrong[0]}")
        return seen


@dataclass(frozen=True, slots=True)
class StoredImage(InspectedImage):
    """A picture that was taken: the keys in the media store of its bytes and of its thumbnail, a static WebP."""

    key: str
    thumb_key: str


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


_RULES: Mapping[str, Callable[[Any], bool]] = {
    "type": lambda value: isinstance(value, str) and value in ENDINGS,
    "width": _is_count,
    "height": _is_count,
    "animated": lambda value: isinstance(value, bool),
    "blurhash": lambda value: isinstance(value, str) and bool(BLURHASH_PATTERN.fullmatch(value)),
    "sha256": lambda value: isinstance(value, str) and bool(SHA256_PATTERN.fullmatch(value)),
    "size_bytes": lambda value: _is_count(value) and value <= MAX_IMAGE_BYTES,
    "generation": lambda value: value is None or isinstance(value, dict),
}
