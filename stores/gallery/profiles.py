"""Profiles: every caller with a wallet address has one, created with the address."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, select, update

from ops.infra.clock import Clock
from schemas.errors import Conflict, Invalid
from schemas.gallery.profiles import MAX_USERNAME_LENGTH, PROFILE_CHANGES, Profile, username_key
from stores.accounts.wallet_addresses import WalletAddresses
from stores.gallery.assets import release_assets
from stores.gallery.tables import profiles
from stores.sql.database import Database

# As many names as are tried for the suggestion of a free one.
MAX_SUGGESTIONS = 50
_FIELDS = tuple(Profile.__dataclass_fields__)


class Profiles:
    """The profiles in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._database = Database(engine)
        self._clock = clock
        self._addresses = WalletAddresses(engine)

    def get_or_create(self, caller_id: str) -> Profile:
        """Return the profile of a caller; the first call draws the address."""
        return self._find(profiles.c.caller == caller_id) or self._create(caller_id)

    def get_by_address(self, address: str) -> Profile | None:
        """Return the profile of an address in any case, or None."""
        return self._find(profiles.c.address_key == address.lower())

    def update(self, caller_id: str, changes: Mapping[str, Any]) -> Profile:
        """Change fields of a profile (PROFILE_CHANGES); a picture that is replaced is released.

        Raises:
            Conflict: the username is taken; ``suggestion`` in the details is free.
            Invalid: a field is unknown.
        """
        check_names(changes, PROFILE_CHANGES)
        self.get_or_create(caller_id)
        values = dict(changes) | {"modified_at": self._clock.now_ms()}
        if "twitter" in changes:
            values.setdefault("twitter_verified", False)
        own = profiles.c.caller == caller_id
        with self._database.write() as connection:
            # The first statement writes, so SQLite's lock is held when the name is checked.
            connection.execute(update(profiles).where(own).values(modified_at=values["modified_at"]))
            old_image = connection.execute(select(profiles.c.image).where(own)).scalar_one()
            if changes.get("username"):
                values["username_key"] = username_key(changes["username"])
                self._check_username(connection, caller_id, changes["username"])
            elif "username" in changes:
                values |= {"username": None, "username_key": None}
            connection.execute(update(profiles).where(own).values(**values))
            if old_image and changes.get("image", old_image) != old_image:
                release_assets(connection, [old_image], values["modified_at"])
        return self.get_or_create(caller_id)

    def _check_username(self, connection: Connection, caller_id: str, username: str) -> None:
        """Raise Conflict if another caller has the name."""
        if self._database.dialect == "postgresql":
            # SQLite has one writer at a time anyway.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('gallery_usernames'))")
        stem = username[: MAX_USERNAME_LENGTH - 3]
        names = [username, *(f"{stem}-{number}" for number in range(2, MAX_SUGGESTIONS))]
        keys = [username_key(name) for name in names]
        query = select(profiles.c.username_key).where(profiles.c.username_key.in_(keys), profiles.c.caller != caller_id)
        taken = set(connection.execute(query).scalars())
        if keys[0] in taken:
            free = next((name for name, key in zip(names, keys, strict=True) if key not in taken), None)
            raise Conflict(f"username: {username!r} is taken.", suggestion=free)

    def _find(self, condition: Any) -> Profile | None:
        with self._database.read() as connection:
            row = connection.execute(select(profiles).where(condition)).one_or_none()
        return None if row is None else profile_from_row(row)

    def _create(self, caller_id: str) -> Profile:
        address, now_ms = self._addresses.get_or_create(caller_id), self._clock.now_ms()
        values: dict[str, Any] = {"caller": caller_id, "address": address, "address_key": address.lower(), "bio": ""}
        values |= {"twitter_verified": False, "last_number": 0, "created_at": now_ms, "modified_at": now_ms}
        with self._database.write() as connection:
            # Another process may have created it meanwhile.
            connection.execute(self._database.insert_or_ignore(profiles).values(values))
        with self._database.read() as connection:
            return profile_from_row(connection.execute(select(profiles).where(profiles.c.caller == caller_id)).one())


def profile_from_row(row: Any) -> Profile:
    """Convert from a row of ``gallery_profiles``."""
    return Profile(row.caller, *(getattr(row, name) for name in _FIELDS[1:]))


def check_names(changes: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raise Invalid for changes of fields that are not ``known``."""
    if unknown := sorted(set(changes) - known):
        problems = [f"{name}: cannot be changed; these fields can: {', '.join(sorted(known))}." for name in unknown]
        raise Invalid(problems=problems)
