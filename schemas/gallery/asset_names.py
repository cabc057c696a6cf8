"""Public names of assets: 21 random characters, as nanoids have them, and an extension."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits + "_-"
NAME_CHARS = 21


def new_asset_name(extension: str) -> str:
    """Return a new name; 126 random bits make it unguessable and unique."""
    stem = "".join(secrets.choice(ALPHABET) for _ in range(NAME_CHARS))
    return f"{stem}.{extension}"


def name_like(name: str) -> str:
    """Return a new name with the extension of another."""
    return new_asset_name(name.rpartition(".")[2])
