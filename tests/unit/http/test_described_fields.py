"""Fields accept exactly what their patterns describe, as far as a pattern can say it."""

import base64
import re

import pytest
from marshmallow import ValidationError

from schemas.errors import Invalid
from schemas.fields import Text, WholeNumber
from schemas.gallery.requests.fields import WebLink
from schemas.http.webhook_url import WebhookUrlField
from schemas.webhooks.signing import SECRET_PATTERN, validate_secret

URLS = (
    "",
    "https://",
    "https:///path",
    "example.com",
    "ftp://example.com",
    "https://example.com",
    "HTTPS://example.com/hook?a=b#c",
    "http://localhost:3000/hook",
    "https://93.184.215.14/hook",
    "https://exa mple.com/",
)
HOOKS = (
    *URLS,
    "https://[2001:db8::1]:8080/hook",
    "https://user@example.com/",
    "https://example.com\\@evil.example/",
)


@pytest.mark.parametrize(
    ("field", "texts"),
    [(WebhookUrlField(), HOOKS), (WebhookUrlField(allow_empty=True), HOOKS), (WebLink(), (*URLS, "https://x.c.f"))],
    ids=["webhook", "optional webhook", "link"],
)
def test_a_url_is_accepted_as_described(field: Text, texts: tuple[str, ...]) -> None:
    """An empty one too: only where the field says so."""
    pattern = str(field.metadata.get("pattern", field.pattern))

    for text in texts:
        try:
            field.deserialize(text)
            is_accepted = True
        except ValidationError:
            is_accepted = False
        assert is_accepted == bool(re.search(pattern, text)), text


@pytest.mark.parametrize(("sent", "number"), [(7, 7), ("7", 7), (7.0, 7), ("7.0", 7), ("-7.00", -7), ("+7", 7)])
def test_a_whole_number_is_read_however_it_is_written(sent: object, number: int) -> None:
    """JSON has one type of number, and queries have texts."""
    assert WholeNumber().deserialize(sent) == number


@pytest.mark.parametrize("sent", [7.5, "7.5", "7.", ".0", "1e3", "", True, "7.0.0", "9" * 5000])
def test_only_whole_numbers_are_accepted(sent: object) -> None:
    """Nothing is truncated."""
    with pytest.raises(ValidationError):
        WholeNumber().deserialize(sent)


@pytest.mark.parametrize("size", [*range(20, 70), 0, 1])
def test_a_secret_is_accepted_as_described(size: int) -> None:
    """By its number of bytes."""
    secret = f"whsec_{base64.b64encode(bytes(size)).decode()}"
    try:
        is_accepted = validate_secret(secret) == secret
    except Invalid:
        is_accepted = False

    assert is_accepted == bool(re.search(SECRET_PATTERN, secret)) == (24 <= size <= 64)
