"""Marshmallow fields of the gallery's requests."""

from typing import Any

from marshmallow import ValidationError, fields, validate

from schemas.errors import Invalid
from schemas.fields import MAX_URL_LENGTH, VISIBLE_TEXT, Text
from schemas.gallery.encodings import MAX_UINT256, format_uint256, parse_uint256

MAX_NAME_CHARS = 200
MAX_DESCRIPTION_CHARS = 10_000
MAX_DECIMAL_DIGITS = 78
# A text of one line, as a pattern of JSON Schema.
ONE_LINE = (
    VISIBLE_TEXT.replace(r"\x08\x0b", r"\x08\x0a\x0b")
    .replace(r"\x0c\x0e", r"\x0c\x0d\x0e")
    .replace(r"\x7f]*", r"\x7f\x85\u2028\u2029]*")
)
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# The last label has two characters at least.
_DOMAIN = rf"({_LABEL}\.)+[A-Za-z0-9][A-Za-z0-9-]{{0,61}}[A-Za-z0-9]"
_IPV4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"


class Uint256(fields.Field[str]):
    """A 256-bit number as ``0x`` and 64 digits, from such a text in any case, shorter ones, a decimal text, or an int.

    The largest number, which means an open edition, stays as it was written.
    """

    def __init__(self, *, minimum: int = 0, hex_only: bool = False, **kwargs: Any) -> None:
        """``hex_only`` refuses numbers without ``0x``, which existing clients never mean as decimal."""
        super().__init__(**kwargs)
        self._minimum = minimum
        self._hex_only = hex_only

    @property
    def description(self) -> dict[str, Any]:
        """The description in OpenAPI."""
        is_positive = self._minimum > 0
        hexadecimal = {
            "type": "string",
            "pattern": "^0x0*[1-9a-fA-F][0-9a-fA-F]*$" if is_positive else "^0x[0-9a-fA-F]+$",
            "maxLength": 66,
            "example": "0x1",
        }
        if self._hex_only:
            return hexadecimal
        decimal = {"type": "string", "pattern": "^0*[1-9][0-9]*$" if is_positive else "^[0-9]+$", "maxLength": 77}
        number = {"type": "integer", "minimum": self._minimum, "maximum": MAX_UINT256}
        return {"anyOf": [hexadecimal, decimal, number]}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            number = self._read(value)
            text = format_uint256(number)
        except Invalid as error:
            raise ValidationError(f"{error.message[0].upper()}{error.message[1:]}") from error
        if number < self._minimum:
            raise ValidationError(f"Must be at least {self._minimum}.")
        return value if number == MAX_UINT256 and isinstance(value, str) and value.startswith("0x") else text

    def _read(self, value: Any) -> int:
        if isinstance(value, str) and (self._hex_only or value[:2].lower() == "0x"):
            return parse_uint256(value)
        if not self._hex_only:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
            # In JSON, 60.0 is the same number as 60.
            if isinstance(value, float) and value.is_integer():
                return int(value)
            if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= MAX_DECIMAL_DIGITS:
                return int(value)
            raise Invalid("must be a whole number, as '0x' and hexadecimal digits, in decimal digits, or as a number.")
        raise Invalid("must be a text: '0x' and 1 to 64 hexadecimal digits.")


class WebLink(Text):
    """An ``http`` or ``https`` URL; null and an empty text remove it."""

    pattern = rf"^([Hh][Tt][Tt][Pp][Ss]?://({_LABEL}|{_DOMAIN}|{_IPV4})(:[0-9]{{2,4}})?(/[!-~]*)?)?$"

    def __init__(self, **kwargs: Any) -> None:
        """``kwargs`` are those of a marshmallow field."""
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:  # type: ignore[override] # an empty one is none
        url = super()._deserialize(value, attr, data, **kwargs)
        if not url:
            return None
        if len(url) > MAX_URL_LENGTH:
            raise ValidationError(f"Longer than {MAX_URL_LENGTH} characters.")
        # Relative and scheme-less URLs, and schemes that run a script, are refused.
        validate.URL(schemes={"http", "https"}, require_tld=False)(url)
        return url


def name_field(**kwargs: Any) -> Text:
    """Return the field of a name: one line that is not blank."""
    metadata = {"pattern": ONE_LINE, "example": "Dusk"}
    return Text(validate=[validate.Length(1, MAX_NAME_CHARS), _one_line], metadata=metadata, **kwargs)


def description_field(**kwargs: Any) -> Text:
    """Return the field of a description, which may have several lines."""
    return Text(validate=validate.Length(max=MAX_DESCRIPTION_CHARS), **kwargs)


def _one_line(text: str) -> None:
    if len(text.splitlines()) > 1:
        raise ValidationError("Must be one line.")
