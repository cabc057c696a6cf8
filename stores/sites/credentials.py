"""Site credentials: browser storage states (cookies, local storage), encrypted at rest.

They must never appear in logs, messages or failure reports.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Engine, delete, insert, select

from ops.infra.clock import Clock
from ops.infra.files.secret_file import read_or_create
from schemas.errors import Invalid, NeedsHuman
from schemas.sites.recipe import Recipe
from stores.sql import tables
from stores.sql.database import Database

KEY_FILE = "session-key"
REQUIRED_COOKIE_FIELDS = ("name", "value", "domain", "path")
OPTIONAL_COOKIE_FIELDS: dict[str, type] = {"secure": bool, "httpOnly": bool, "sameSite": str}
MAX_STATE_BYTES = 2 * 1024 * 1024


class SiteCredentials:
    """The credentials in one database."""

    def __init__(self, engine: Engine, clock: Clock, encryption_key: str) -> None:
        """``encryption_key`` comes from ``load_encryption_key``."""
        self._database = Database(engine)
        self._clock = clock
        self._fernet = Fernet(encryption_key)

    def store(self, site: str, state: Mapping[str, Any]) -> None:
        """Store a Playwright storage state, replacing an earlier one.

        Raises:
            Invalid: it is not a storage state, or too large.
        """
        _validate(state)
        encoded = json.dumps({"cookies": state["cookies"], "origins": state.get("origins", [])}).encode()
        if len(encoded) > MAX_STATE_BYTES:
            raise Invalid(f"The storage state is larger than {MAX_STATE_BYTES} bytes.")
        row = {"site": site, "state": self._fernet.encrypt(encoded).decode(), "kept_at": self._clock.now_ms()}
        table = tables.site_credentials
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.site == site))
            connection.execute(insert(table).values(row))

    def delete(self, site: str) -> bool:
        """Delete a site's credentials; False if there were none."""
        table = tables.site_credentials
        with self._database.write() as connection:
            return bool(connection.execute(delete(table).where(table.c.site == site)).rowcount)

    def read_time(self, site: str) -> int | None:
        """Return when the site's credentials were stored, in Unix milliseconds; None if there are none."""
        table = tables.site_credentials
        with self._database.read() as connection:
            return connection.execute(select(table.c.kept_at).where(table.c.site == site)).scalar_one_or_none()

    def load(self, recipe: Recipe) -> dict[str, Any] | None:
        """Return the storage state for a browser context; None if the site needs no login and has none.

        A bundled page never has credentials.

        Raises:
            NeedsHuman: the site needs a login and has none, or the stored one cannot be decrypted.
            Unavailable: the database does not answer.
        """
        if recipe.bundle is not None:
            return None
        table = tables.site_credentials
        query = select(table.c.state).where(table.c.site == recipe.name)
        with self._database.read() as connection:
            encrypted = connection.execute(query).scalar_one_or_none()
        if encrypted is None:
            if recipe.session.required:
                raise NeedsHuman(f"{recipe.name} needs a login: run './darkroom sites login {recipe.name}'.")
            return None
        try:
            state: dict[str, Any] = json.loads(self._fernet.decrypt(encrypted.encode()))
        except InvalidToken as error:
            raise NeedsHuman(
                f"The login of {recipe.name} was stored under another SESSION_KEY: "
                f"run './darkroom sites login {recipe.name}'."
            ) from error
        return state


def _validate(state: Any) -> None:
    """Accept only what a browser accepts: with anything else every job of the site would fail."""
    if not isinstance(state, Mapping) or not isinstance(state.get("cookies"), list):
        raise Invalid("Not a storage state: expected a JSON object with a list 'cookies'.")
    for cookie in state["cookies"]:
        if not isinstance(cookie, Mapping) or not all(
            isinstance(cookie.get(name), str) for name in REQUIRED_COOKIE_FIELDS
        ):
            raise Invalid(f"Not a storage state: every cookie needs {', '.join(REQUIRED_COOKIE_FIELDS)} as text.")
        for name, kind in OPTIONAL_COOKIE_FIELDS.items():
            if not isinstance(cookie.get(name, kind()), kind):
                raise Invalid(f"Not a storage state: {name} of a cookie has the wrong type.")
    origins = state.get("origins", [])
    if not isinstance(origins, list) or not all(_is_origin(origin) for origin in origins):
        raise Invalid("Not a storage state: 'origins' must be a list of objects with 'origin' and 'localStorage'.")


def _is_origin(origin: Any) -> bool:
    if not isinstance(origin, Mapping) or not isinstance(origin.get("origin"), str):
        return False
    entries = origin.get("localStorage", [])
    return isinstance(entries, list) and all(
        isinstance(entry, Mapping) and isinstance(entry.get("name"), str) and isinstance(entry.get("value"), str)
        for entry in entries
    )


def load_encryption_key(data_dir: Path, configured: str | None) -> str:
    """Return the configured key, else the one in the key file, which is created if it does not exist."""
    return configured or read_or_create(data_dir / KEY_FILE, lambda: Fernet.generate_key().decode())
