"""Public names of assets: 21 random characters, as nanoids have them, and an extension."""

import secrets
import string

ALPHABET = string.ascii_letters + string.digits + "_-"
NAME_CHARS = 21
ICON_EXTENSION = ".png"


def new_asset_name(extension: str) -> str:
    """Return a new name; 126 random bits make it unguessable and unique."""
    stem = "".join(secrets.choice(ALPHABET) for _ in range(NAME_CHARS))
    return f"{stem}.{extension}"


def name_like(name: str) -> str:
    """Return a new name with the extension of another."""
    return new_asset_name(name.rpartition(".")[2])


def icon_name(thumb: str) -> str:
    """Return the name of the icon, a PNG of 64 by 64 pixels, that belongs to a thumbnail."""
    return thumb.partition(".")[0] + ICON_EXTENSION
