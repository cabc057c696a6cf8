"""Settings that all processes share: their fingerprints, who is refused, and how they are changed deliberately."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, insert, select

from ops.infra.settings import Settings, SettingsError
from stores.accounts.owner_key import OwnerKey
from stores.environment.shared_settings import API_KEY, MEDIA_URL, SESSION_KEY, SHARED_SETTINGS, SharedSettings
from stores.sites.credentials import KEY_FILE
from stores.sql.tables import shared_settings, site_credentials, webhooks

OWN_KEY, OTHER_KEY = "the owner's own key", "the key of another"
WEBHOOK = {"id": "wh", "owner": "o", "url": "u", "types": "t", "description": "", "created_at": 0}


@pytest.fixture
def fleet(settings: Settings) -> Settings:
    """The settings of the first process of a fleet."""
    key = Fernet.generate_key().decode()
    return replace(settings, session_key=key, api_key=OWN_KEY, media_url="s3://bucket/folder")


def refusal(engine: Engine, settings: Settings) -> str:
    """Why a process with these settings does not start; empty if it does."""
    try:
        SharedSettings(engine, settings).check()
    except SettingsError as error:
        return str(error)
    return ""


def test_the_first_process_is_the_measure(engine: Engine, fleet: Settings) -> None:
    """One line names the setting, and repeats neither value."""
    assert refusal(engine, fleet) == ""
    assert refusal(engine, fleet) == ""
    others = {
        SESSION_KEY: replace(fleet, session_key=Fernet.generate_key().decode()),
        API_KEY: replace(fleet, api_key=OTHER_KEY),
        MEDIA_URL: replace(fleet, media_url="s3://another"),
    }
    for name, other in others.items():
        line = refusal(engine, other)
        assert line.startswith(f"{name}: differs from the value of this installation.")
        assert "\n" not in line
        assert not any(secret in line for secret in (OTHER_KEY, OWN_KEY, str(other.session_key), "bucket"))
        assert SharedSettings(engine, other).compare()[name] is False
    assert SharedSettings(engine, fleet).compare() == dict.fromkeys(SHARED_SETTINGS, True)
    assert refusal(engine, replace(fleet, media_url="s3://bucket/folder/")) == ""


def test_a_machine_without_keys_does_not_make_its_own(engine: Engine, fleet: Settings, tmp_path: Path) -> None:
    """The sentence says that the setting is missing, or that the file of this machine is another."""
    assert refusal(engine, fleet) == ""
    bare = replace(fleet, session_key=None, data_dir=tmp_path / "other")
    assert refusal(engine, bare).startswith("SESSION_KEY: is not set, but the other processes")
    assert not (tmp_path / "other").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / KEY_FILE).write_text(Fernet.generate_key().decode())
    assert f"{tmp_path / 'other' / KEY_FILE} differs from that of the other processes" in refusal(engine, bare)
    bare = replace(fleet, api_key=None, data_dir=tmp_path / "third")
    assert refusal(engine, bare).startswith("API_KEY: is not set")


def test_fingerprints_reveal_nothing(engine: Engine, fleet: Settings) -> None:
    """Each has a salt, and none is a plain digest of a value that could be guessed."""
    assert refusal(engine, fleet) == ""
    with engine.connect() as connection:
        rows = connection.execute(select(shared_settings)).all()
    assert {row.name for row in rows} == set(SHARED_SETTINGS)
    assert len({row.salt for row in rows}) == len({row.fingerprint for row in rows}) == len(rows)
    values = [OWN_KEY, str(fleet.session_key), fleet.media_url]
    text = json.dumps([tuple(map(str, row)) for row in rows])
    for row in rows:
        guesses = [hashlib.sha256(part.encode()) for value in values for part in (value, row.salt + value)]
        assert row.fingerprint not in {guess.hexdigest() for guess in guesses}
    assert not any(value in text for value in values)


def test_of_processes_that_start_together_one_is_the_measure(engine: Engine, fleet: Settings) -> None:
    """All others with another key are refused."""
    different = [replace(fleet, session_key=Fernet.generate_key().decode()) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        lines = list(pool.map(lambda settings: refusal(engine, settings), different))
    assert lines.count("") == 1
    assert all(line.startswith(SESSION_KEY) for line in lines if line)


def test_the_first_process_must_be_able_to_decrypt_stored_secrets(
    engine: Engine, fleet: Settings, tmp_path: Path
) -> None:
    """A database of an earlier version has logins, and no fingerprint that would refuse another key."""
    key, lost = Fernet(str(fleet.session_key)), Fernet(Fernet.generate_key())
    with engine.begin() as connection:
        for site, by in (("a", key), ("b", lost)):
            row = {"site": site, "state": by.encrypt(b"cookies").decode(), "kept_at": 0}
            connection.execute(insert(site_credentials).values(**row))
    other = replace(fleet, session_key=Fernet.generate_key().decode())
    assert refusal(engine, other).startswith("SESSION_KEY: differs from the value of this installation.")
    bare = replace(fleet, session_key=None, data_dir=tmp_path / "other")
    assert refusal(engine, bare).startswith("SESSION_KEY: is not set")
    assert not (tmp_path / "other").exists()

    assert refusal(engine, fleet) == ""
    assert refusal(engine, other).startswith("SESSION_KEY: differs from the value of this installation.")


def test_a_key_of_a_file_is_followed_when_it_is_regenerated(engine: Engine, fleet: Settings) -> None:
    """Regenerating the owner's key is deliberate."""
    own = replace(fleet, api_key=None)
    assert refusal(engine, own) == ""
    owner_key = OwnerKey.from_settings(own)
    owner_key.on_replaced = SharedSettings(engine, own).follow_api_key
    owner_key.regenerate()
    assert refusal(engine, own) == ""


def test_a_new_session_key_is_accepted_deliberately(engine: Engine, fleet: Settings) -> None:
    """With the old one, logins and webhook secrets go on; the old key is refused from then on."""
    assert refusal(engine, fleet) == ""
    old, lost = Fernet(str(fleet.session_key)), Fernet(Fernet.generate_key())
    with engine.begin() as connection:
        state = old.encrypt(b"cookies").decode()
        connection.execute(insert(site_credentials).values(site="a", state=state, kept_at=0))
        secrets = {"secret": old.encrypt(b"one").decode(), "old_secret": lost.encrypt(b"two").decode()}
        connection.execute(insert(webhooks).values(**WEBHOOK, **secrets))
    new = replace(fleet, session_key=Fernet.generate_key().decode())
    with pytest.raises(SettingsError, match=SESSION_KEY):
        SharedSettings(engine, new).accept([API_KEY])
    accepted = SharedSettings(engine, new).accept([SESSION_KEY], fleet.session_key)
    assert (accepted.readable, accepted.lost) == (2, 1)
    assert refusal(engine, new) == ""
    assert refusal(engine, fleet).startswith(SESSION_KEY)
    fernet = Fernet(str(new.session_key))
    with engine.connect() as connection:
        assert fernet.decrypt(connection.execute(select(site_credentials.c.state)).scalar_one()) == b"cookies"
        row = connection.execute(select(webhooks)).one()
        assert fernet.decrypt(row.secret) == b"one"
        assert row.old_secret == secrets["old_secret"]


def test_a_new_owner_key_is_accepted_deliberately(engine: Engine, fleet: Settings) -> None:
    """The other settings stay as they are."""
    assert refusal(engine, fleet) == ""
    new = replace(fleet, api_key=OTHER_KEY)
    SharedSettings(engine, new).accept([API_KEY])
    assert refusal(engine, new) == ""
    assert refusal(engine, fleet).startswith(API_KEY)


def test_a_restored_installation_may_have_another_media_store(engine: Engine, fleet: Settings) -> None:
    """What is forgotten, the next process records."""
    assert refusal(engine, fleet) == ""
    elsewhere = replace(fleet, media_url="gs://elsewhere")
    SharedSettings(engine, fleet).forget(MEDIA_URL)
    assert refusal(engine, elsewhere) == ""
    assert refusal(engine, fleet).startswith(MEDIA_URL)
