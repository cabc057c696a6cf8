"""Inputs of a recipe for which its page has no field: writing and parsing the error message of a job."""

import re

MESSAGE = re.compile(r"The page has no field for the input '([a-z0-9_]{1,60})'")


def missing_field_message(name: str, reason: str) -> str:
    """Return the message of an ``InputNotOffered``."""
    return f"The page has no field for the input {name!r}: {reason}"


def missing_input(message: str) -> str | None:
    """Return the input that such a message names; None for other messages."""
    match = MESSAGE.match(message)
    return match[1] if match else None
