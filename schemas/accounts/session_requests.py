"""The body of a request that signs in with an API key."""

from collections.abc import Mapping
from typing import Any

from schemas.errors import Invalid
from schemas.fields import is_valid_unicode

KEY_FIELD = "key"
MAX_KEY_LENGTH = 512


def parse_key(body: Any) -> str:
    """Return the API key in a body, which is a JSON object or a form.

    Error messages do not repeat the value, which may be a secret.

    Raises:
        Invalid: the key is missing, or cannot be a key.
    """
    if not isinstance(body, Mapping):
        raise Invalid(problems=['The body must be a JSON object with "key", or a form with the field "key".'])
    key = body.get(KEY_FIELD)
    if isinstance(key, str):
        key = key.strip()
    if not key:
        raise Invalid(problems=["key: is missing; send the API key to sign in with."])
    if not isinstance(key, str) or not is_valid_unicode(key) or len(key) > MAX_KEY_LENGTH:
        raise Invalid(problems=[f"key: must be text of at most {MAX_KEY_LENGTH} characters."])
    return key
