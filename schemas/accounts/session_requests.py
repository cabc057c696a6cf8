"""What somebody sends in order to sign in. Pure."""

from collections.abc import Mapping
from typing import Any

from schemas.errors import Invalid
from schemas.fields import is_unicode

FIELD = "key"
LONGEST_KEY = 512


def read_key(given: Any) -> str:
    """The key in a body, which is a JSON object or a form.

    Raises:
        Invalid: it has none, or something that cannot be one; what was given is not repeated.
    """
    if not isinstance(given, Mapping):
        raise Invalid(problems=['The body must be a JSON object with "key", or a form with the field "key".'])
    key = given.get(FIELD)
    if isinstance(key, str):
        key = key.strip()
    if not key:
        raise Invalid(problems=["key: is missing; send the API key to sign in with."])
    if not isinstance(key, str) or not is_unicode(key) or len(key) > LONGEST_KEY:
        raise Invalid(problems=[f"key: must be text of at most {LONGEST_KEY} characters."])
    return key
