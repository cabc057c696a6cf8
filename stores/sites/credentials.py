"""The logins of sites: what a browser must know to be signed in, encrypted at rest.

Never in a log, a message or a bundle.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Engine, delete, insert, select

from ops.infra.clock import Clock
from ops.infra.secret_file import read_or_create
from schemas.errors import Invalid, NeedsHuman
from schemas.sites.recipe import Recipe
from stores.sql import tables
from stores.sql.errors import sql_errors

KEY_FILE = "session-key"
REQUIRED_COOKIE_FIELDS = ("name", "value", "domain", "path")
OPTIONAL_COOKIE_FIELDS: dict[str, type] = {"secure": bool, "httpOnly": bool, "sameSite": str}
MAX_STATE_CHARS = 2 * 1024 * 1024


class SiteCredentials:
    """The logins in one database."""

    def __init__(self, engine: Engine, clock: Clock, key: str) -> None:
        """``key`` encrypts; see ``session_key``."""
        self._engine = engine
        self._clock = clock
        self._fernet = Fernet(key)

    def store(self, site: str, state: Mapping[str, Any]) -> None:
        """Keep a browser's storage state (cookies and origins, as Playwright writes it) in place of the one before.

        Raises:
            Invalid: it is not one.
        """
        _check(state)
        text = json.dumps({"cookies": state["cookies"], "origins": state.get("origins", [])})
        if len(text) > MAX_STATE_CHARS:
            raise Invalid(f"The storage state is larger than {MAX_STATE_CHARS} bytes.")
        row = {"site": site, "state": self._fernet.encrypt(text.encode()).decode(), "kept_at": self._clock.now_ms()}
        with self._engine.begin() as connection:
            connection.execute(delete(tables.site_credentials).where(tables.site_credentials.c.site == site))
            connection.execute(insert(tables.site_credentials).values(row))

    def delete(self, site: str) -> bool:
        """Whether there was a login to forget."""
        with self._engine.begin() as connection:
            return bool(
                connection.execute(
                    delete(tables.site_credentials).where(tables.site_credentials.c.site == site)
                ).rowcount
            )

    def load(self, recipe: Recipe) -> dict[str, Any] | None:
        """What a context of the site begins with; None where nobody is signed in and nobody need be.

        A bundled page knows no logins.

        Raises:
            NeedsHuman: the site needs a login and there is none that can be read.
            Unavailable: the database does not answer.
        """
        if recipe.bundle is not None:
            return None
        query = select(tables.site_credentials.c.state).where(tables.site_credentials.c.site == recipe.name)
        with sql_errors(), self._engine.connect() as connection:
            kept = connection.execute(query).scalar_one_or_none()
        if kept is None:
            if recipe.session.required:
                raise NeedsHuman(f"Nobody is signed in to {recipe.name}.")
            return None
        try:
            state: dict[str, Any] = json.loads(self._fernet.decrypt(kept.encode()))
        except InvalidToken as error:
            raise NeedsHuman(
                f"The login of {recipe.name} was kept under another SESSION_KEY; sign in again."
            ) from error
        return state


def _check(state: Any) -> None:
    """A browser refuses a state with anything else in it, and every job of the site would fail."""
    if not isinstance(state, Mapping) or not isinstance(state.get("cookies"), list):
        raise Invalid("That is no storage state: a JSON object with a list 'cookies' is needed.")
    for cookie in state["cookies"]:
        if not isinstance(cookie, Mapping) or not all(
            isinstance(cookie.get(name), str) for name in REQUIRED_COOKIE_FIELDS
        ):
            raise Invalid(f"That is no storage state: every cookie needs {', '.join(REQUIRED_COOKIE_FIELDS)} as text.")
        if strange := [
            name for name, kind in OPTIONAL_COOKIE_FIELDS.items() if not isinstance(cookie.get(name, kind()), kind)
        ]:
            raise Invalid(f"That is no storage state: {strange[0]} of a cookie has the wrong type.")
    origins = state.get("origins", [])
    if not isinstance(origins, list) or not all(_is_origin(one) for one in origins):
        raise Invalid("That is no storage state: 'origins' is a list of objects with 'origin' and 'localStorage'.")


def _is_origin(one: Any) -> bool:
    if not isinstance(one, Mapping) or not isinstance(one.get("origin"), str):
        return False
    entries = one.get("localStorage", [])
    return isinstance(entries, list) and all(
        isinstance(entry, Mapping) and isinstance(entry.get("name"), str) and isinstance(entry.get("value"), str)
        for entry in entries
    )


def load_encryption_key(data_dir: Path, configured: str | None) -> str:
    """The key configured, else the one in the key file, which is made on the first call."""
    return configured or read_or_create(data_dir / KEY_FILE, lambda: Fernet.generate_key().decode())
