"""Owns what every view needs at hand: the stores of this application and who asks."""

from typing import cast

from flask import current_app, g

from schemas.keys import Caller
from stores import Stores


def stores() -> Stores:
    """The stores that ``create_app`` was given."""
    return cast(Stores, current_app.extensions["stores"])


def caller() -> Caller:
    """Who asks; only for views behind ``api.auth.require_key``."""
    return cast(Caller, g.caller)
