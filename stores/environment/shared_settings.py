"""Settings that all processes of an installation share: SQL has their fingerprints, so another one is noticed at start.

A process that lacks SESSION_KEY generates its own, and signs webhooks with a key that no receiver knows. A fingerprint
is a HMAC under SESSION_KEY with a salt of its own: it reveals nothing without that key. A process that finds no
fingerprint records that of its own value, if it can read any of the logins and webhook secrets that are there.
"""

import hmac
import os
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, insert, inspect, select, update

from ops.infra.database import open_database
from ops.infra.settings import Settings, SettingsError
from schemas.errors import Conflict, Unavailable
from stores.accounts.owner_key import KEY_FILE as API_KEY_FILE
from stores.accounts.owner_key import OwnerKey
from stores.environment.disk_space import prepare_folders
from stores.sites.credentials import KEY_FILE as SESSION_KEY_FILE
from stores.sites.credentials import load_encryption_key
from stores.sql.database import Database
from stores.sql.tables import shared_settings, site_credentials, webhooks

SESSION_KEY, API_KEY, MEDIA_URL = SHARED_SETTINGS = ("SESSION_KEY", "API_KEY", "MEDIA_URL")
FINGERPRINT_LABEL = "darkroom: fingerprint of "
SALT_BYTES = 16
# Any number that no other transaction of this kind uses.
LOCK_ID = 7_118_106
LOCAL_MEDIA = "file:"
ENCRYPTED_COLUMNS: tuple[tuple[Table, str, tuple[str, ...]], ...] = (
    (site_credentials, "site", ("state",)),
    (webhooks, "id", ("secret", "old_secret")),
)
ADVICE = "To change it deliberately, run './darkroom fleet accept {name}'; see 'A fleet' in docs/operations.md."

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SharedValue:
    """The value that this process has for a shared setting; ``value`` is None if it would generate one now."""

    name: str
    value: str | None = field(repr=False)
    # Where the value is from, for messages.
    place: str


@dataclass(frozen=True, slots=True)
class AcceptedKey:
    """How many logins and webhook secrets the new SESSION_KEY can read, and how many are lost."""

    readable: int
    lost: int


class SharedSettings:
    """The fingerprints in one database."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """``settings`` are those of this process."""
        self._database = Database(engine)
        self._settings = settings

    def check(self) -> None:
        """Compare the values of this process with the fingerprints, and record those that are missing.

        Raises:
            SettingsError: a value is not that of the installation; nothing has been generated then.
            Unavailable: the database does not answer, or has no tables yet.
        """
        known = self._read()
        for name in SHARED_SETTINGS:
            shared = self._read_value(name)
            if name in known and (shared.value is None or not self._is_same(known[name], shared)):
                raise SettingsError(_refusal(shared))
        missing = [name for name in SHARED_SETTINGS if name not in known]
        if SESSION_KEY in missing and not self._can_decrypt_stored_secrets():
            raise SettingsError(_refusal(self._read_value(SESSION_KEY)))
        if missing:
            self._record(missing)

    def compare(self) -> dict[str, bool | None]:
        """Return for each shared setting whether this process has that of the installation; None if none is known."""
        known = self._read()
        values = {name: self._read_value(name) for name in SHARED_SETTINGS}
        return {
            name: shared.value is not None and self._is_same(known[name], shared) if name in known else None
            for name, shared in values.items()
        }

    def follow_api_key(self, _key: str) -> None:
        """Record the owner's key after a running process has replaced it."""
        if advice := self.record_api_key():
            log.warning("shared_settings.not_recorded", setting=API_KEY, advice=advice)

    def record_api_key(self) -> str:
        """Record the owner's key after its replacement; returns advice for the operator if that is not possible."""
        try:
            if not self._has_table() or API_KEY not in self._read():
                return ""
            self.accept([API_KEY])
        except (Unavailable, SettingsError) as error:
            return f"The database does not know the new API_KEY: {error} Run './darkroom fleet accept {API_KEY}'."
        return ""

    def accept(self, names: Collection[str], old_session_key: str | None = None) -> AcceptedKey:
        """Make the values of this process those of the installation.

        Keys that there are not yet are generated. All fingerprints depend on SESSION_KEY, so the others are recorded
        again with it. What ``old_session_key`` has encrypted is encrypted with the new one, in the same transaction.

        Raises:
            SettingsError: SESSION_KEY is not accepted, and is not that of the installation.
            Conflict: ``old_session_key`` is not a key.
        """
        key = self._generate_missing()
        accepted = AcceptedKey(0, 0)
        if SESSION_KEY in names:
            names = SHARED_SETTINGS
        elif self.compare()[SESSION_KEY] is False:
            raise SettingsError(_refusal(self._read_value(SESSION_KEY)))
        with self._database.write_exclusively(LOCK_ID) as connection:
            if SESSION_KEY in names:
                accepted = _encrypt_again(connection, key, old_session_key)
            connection.execute(delete(shared_settings).where(shared_settings.c.name.in_(names)))
            self._insert(connection, names)
        return accepted

    def forget(self, name: str) -> None:
        """Let the next process that starts record its value."""
        with self._database.write() as connection:
            connection.execute(delete(shared_settings).where(shared_settings.c.name == name))

    def _has_table(self) -> bool:
        with self._database.read() as connection:
            return inspect(connection).has_table(shared_settings.name)

    def _read(self) -> dict[str, tuple[str, str]]:
        with self._database.read() as connection:
            rows = connection.execute(select(shared_settings)).all()
        return {row.name: (row.salt, row.fingerprint) for row in rows}

    def _can_decrypt_stored_secrets(self) -> bool:
        """Whether this process has the key of a login or webhook secret, or there is none yet.

        A database may have them without any fingerprint: an earlier version has written them.
        """
        key = self._read_value(SESSION_KEY).value
        with self._database.read() as connection:
            stored = [value for *_, value in _list_encrypted(connection)]
        return not stored or (key is not None and any(_can_read(key, value) for value in stored))

    def _record(self, names: Collection[str]) -> None:
        """Record values of this process; of several processes that start together, the first one counts."""
        self._generate_missing()
        with self._database.write_exclusively(LOCK_ID) as connection:
            present = set(connection.execute(select(shared_settings.c.name)).scalars())
            self._insert(connection, [name for name in names if name not in present])
        if present & set(names):
            self.check()

    def _insert(self, connection: Connection, names: Collection[str]) -> None:
        now_ms = self._database.now_ms(connection)
        for name in names:
            salt = secrets.token_hex(SALT_BYTES)
            row = {"name": name, "salt": salt, "fingerprint": self._fingerprint(salt, self._read_value(name))}
            connection.execute(insert(shared_settings).values(row | {"recorded_at": now_ms}))

    def _is_same(self, known: tuple[str, str], shared: SharedValue) -> bool:
        salt, fingerprint = known
        return hmac.compare_digest(fingerprint, self._fingerprint(salt, shared))

    def _fingerprint(self, salt: str, shared: SharedValue) -> str:
        # The session key's own fingerprint has no value: it is the key.
        value = "" if shared.name == SESSION_KEY else shared.value
        text = f"{FINGERPRINT_LABEL}{shared.name}:{salt}:{value}"
        return hmac.digest((self._read_value(SESSION_KEY).value or "").encode(), text.encode(), "sha256").hex()

    def _generate_missing(self) -> str:
        """Generate the keys that this process does not have yet; returns SESSION_KEY."""
        OwnerKey.from_settings(self._settings).read()
        return load_encryption_key(self._settings.data_dir, self._settings.session_key)

    def _read_value(self, name: str) -> SharedValue:
        return READERS[name](self._settings)


def check_shared_settings(settings: Settings) -> bool:
    """Check a process that is about to start; False if the database cannot tell yet, so that it is asked again later.

    Raises:
        SettingsError: a value is not that of the installation, or DATA_DIR is needed and cannot be written.
    """
    prepare_folders(settings)
    engine = open_database(settings.database_url)
    try:
        SharedSettings(engine, settings).check()
    except Unavailable as error:
        log.warning("shared_settings.not_checked", error=str(error))
        return False
    finally:
        engine.dispose()
    if engine.dialect.name != "sqlite" and "MEDIA_URL" not in os.environ:
        advice = "processes on other machines do not see it; set MEDIA_URL if there are any"
        log.warning("media.on_this_machine", folder=str(settings.data_dir / "media"), advice=advice)
    return True


def check_now_or_later(settings: Settings) -> Callable[[], bool] | None:
    """Check as ``check_shared_settings``; return None, or what to call again until it returns True."""
    return None if check_shared_settings(settings) else partial(check_shared_settings, settings)


def _read_session_key(settings: Settings) -> SharedValue:
    file = settings.data_dir / SESSION_KEY_FILE
    if settings.session_key or not file.exists():
        return SharedValue(SESSION_KEY, settings.session_key, "the setting")
    return SharedValue(SESSION_KEY, load_encryption_key(settings.data_dir, None), str(file))


def _read_api_key(settings: Settings) -> SharedValue:
    file = settings.data_dir / API_KEY_FILE
    if settings.api_key or not file.exists():
        return SharedValue(API_KEY, settings.api_key, "the setting")
    return SharedValue(API_KEY, OwnerKey.from_settings(settings).read(), str(file))


def _read_media_url(settings: Settings) -> SharedValue:
    """A folder may be mounted at another place on each machine, so only the kind of store counts for it."""
    url = settings.media_url
    return SharedValue(MEDIA_URL, LOCAL_MEDIA if url.startswith(LOCAL_MEDIA) else url.rstrip("/"), "the setting")


READERS: Mapping[str, Callable[[Settings], SharedValue]] = {
    SESSION_KEY: _read_session_key,
    API_KEY: _read_api_key,
    MEDIA_URL: _read_media_url,
}


def _refusal(shared: SharedValue) -> str:
    if shared.value is None:
        problem = "is not set, but the other processes of this installation have a value. Set it to theirs."
    elif shared.place == "the setting":
        problem = "differs from the value of this installation. Set it to the value of the other processes."
    else:
        problem = (
            f"is not set, and the value in {shared.place} differs from that of the other processes. Set it to theirs."
        )
    return f"{shared.name}: {problem} {ADVICE.format(name=shared.name)}"


def _encrypt_again(connection: Connection, key: str, old_key: str | None) -> AcceptedKey:
    """Encrypt with ``key`` what ``old_key`` has encrypted; what neither can read stays as it is."""
    try:
        keys = MultiFernet([Fernet(part) for part in (key, old_key) if part])
    except ValueError as error:
        raise Conflict("OLD_SESSION_KEY is not 32 bytes in URL-safe base64.") from error
    readable = lost = 0
    for table, same_row, column, value in _list_encrypted(connection):
        try:
            text = keys.rotate(value.encode()).decode()
        except InvalidToken:
            lost += 1
            continue
        readable += 1
        connection.execute(update(table).where(same_row).values({column: text}))
    return AcceptedKey(readable, lost)


def _list_encrypted(connection: Connection) -> list[tuple[Table, ColumnElement[bool], str, str]]:
    """Return all logins and webhook secrets: the table, the condition that names the row, the column and its value."""
    return [
        (table, table.c[key_column] == row[key_column], column, row[column])
        for table, key_column, columns in ENCRYPTED_COLUMNS
        for row in connection.execute(select(table)).mappings().all()
        for column in filter(row.get, columns)
    ]


def _can_read(key: str, value: str) -> bool:
    try:
        Fernet(key).decrypt(value.encode())
    except (InvalidToken, ValueError):
        return False
    return True
