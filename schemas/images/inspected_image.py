"""The records of an inspected image and of one that is stored."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from schemas.fields import to_camel_case, to_snake_case
from schemas.images import formats

# Key prefixes in the media store: uploads that await inspection, and images that the library keeps.
UPLOADS_PREFIX, LIBRARY_PREFIX, RESULTS_PREFIX = "uploads", "library", "results"
MAX_IMAGE_BYTES = 50 * 1024 * 1024
SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")
BLURHASH_PATTERN = re.compile(r"[0-9A-Za-z#$%*+,\-.:;=?@\[\]^_{|}~]{6,100}")


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """The result of an image inspection.

    ``type`` is the media type. ``width`` and ``height`` are in pixels after the EXIF orientation is applied.
    ``sha256`` and ``size_bytes`` leave out whatever follows the image's end. ``generation`` holds the embedded
    generation parameters as JSON; None if there are none.
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
        """Return the fields under their camel case names."""
        return {to_camel_case(name): value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Rebuild a record from ``to_json``; the document may come from a compromised sandbox.

        Raises:
            ValueError: a field is missing, unknown or has an impossible value.
        """
        try:
            image = cls(**{to_snake_case(name): value for name, value in document.items()})
        except (TypeError, AttributeError) as error:
            raise ValueError("not an inspected image: wrong fields") from error
        if invalid := [name for name, is_valid in _RULES.items() if not is_valid(getattr(image, name))]:
            raise ValueError(f"not an inspected image: invalid {invalid[0]}")
        return image


@dataclass(frozen=True, slots=True)
class StoredImage(InspectedImage):
    """An inspected image in the media store, with the keys of its bytes and of its thumbnail, a static WebP."""

    key: str
    thumb_key: str


def _is_positive_int(value: Any) -> bool:
    return type(value) is int and value > 0


_RULES: Mapping[str, Callable[[Any], bool]] = {
    "type": lambda value: isinstance(value, str) and value in formats.ACCEPTED_MEDIA_TYPES,
    "width": _is_positive_int,
    "height": _is_positive_int,
    "animated": lambda value: isinstance(value, bool),
    "blurhash": lambda value: isinstance(value, str) and bool(BLURHASH_PATTERN.fullmatch(value)),
    "sha256": lambda value: isinstance(value, str) and bool(SHA256_PATTERN.fullmatch(value)),
    "size_bytes": lambda value: _is_positive_int(value) and value <= MAX_IMAGE_BYTES,
    "generation": lambda value: value is None or isinstance(value, dict),
}
