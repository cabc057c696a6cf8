"""Stores about sites: credentials, accepted terms, canaries, selector drift."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import Engine, text

from ops.infra.database import open_database
from schemas.errors import Forbidden, Invalid, NeedsHuman, SiteChanged, Unavailable
from schemas.jobs.job import Job, JobRequest
from schemas.sites.recipe import ConsentSpec, Recipe, SessionSpec
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.canaries import Canaries
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import MAX_CHANGES, SelectorChange, SelectorDrift
from tests.conftest import FakeClock, create_tables
from tests.contract.conftest import RedisStores

COOKIE = {"name": "session", "value": "a-secret", "domain": "127.0.0.1", "path": "/"}
STATE = {"cookies": [COOKIE], "origins": []}
STUDIO = Recipes("studio").get("studio")
FOREIGN = replace(STUDIO, name="foreign", bundle=None, consent=ConsentSpec("terms", "https://example.com/terms"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with migrated tables."""
    url = f"sqlite:///{tmp_path / 'sites.sqlite3'}"
    create_tables(url)
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def credentials(engine: Engine, clock: FakeClock) -> SiteCredentials:
    """The store under test."""
    return SiteCredentials(engine, clock, Fernet.generate_key().decode())


def test_credentials_are_encrypted_and_replaced(credentials: SiteCredentials, engine: Engine) -> None:
    """Each site has one storage state."""
    credentials.store("foreign", {"cookies": []})
    credentials.store("foreign", STATE)

    assert STATE == credentials.load(FOREIGN)
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT state FROM site_sessions")).all()
    assert "a-secret" not in row.state
    assert [True, False] == [credentials.delete("foreign"), credentials.delete("foreign")]
    assert credentials.load(FOREIGN) is None


def test_missing_credentials_need_a_human(credentials: SiteCredentials, engine: Engine) -> None:
    """Credentials stored under another key count as missing; a bundled page needs none."""
    recipe: Recipe = replace(FOREIGN, session=SessionSpec(required=True))
    with pytest.raises(NeedsHuman, match="needs a login"):
        credentials.load(recipe)
    assert credentials.load(STUDIO) is None

    credentials.store("foreign", STATE)
    other = SiteCredentials(engine, FakeClock(), Fernet.generate_key().decode())
    with pytest.raises(NeedsHuman, match="another SESSION_KEY"):
        other.load(recipe)


@pytest.mark.parametrize(
    "state",
    [
        {},
        [],
        {"cookies": "no"},
        {"cookies": [{"name": "a"}]},
        {"cookies": [{**COOKIE, "secure": "yes"}]},
        {"cookies": [{**COOKIE, "value": "x" * 3_000_000}]},
        {"cookies": [], "origins": [{"origin": "http://127.0.0.1", "localStorage": [7]}]},
    ],
)
def test_invalid_storage_states_are_refused(credentials: SiteCredentials, state: dict[str, object]) -> None:
    """Nothing is stored."""
    with pytest.raises(Invalid):
        credentials.store("foreign", state)
    assert credentials.load(FOREIGN) is None


def test_the_encryption_key_is_created_once(tmp_path: Path) -> None:
    """It is in a file that only its owner can read; a configured key creates no file."""
    assert load_encryption_key(tmp_path / "a", "configured") == "configured"
    assert not (tmp_path / "a").exists()
    first = load_encryption_key(tmp_path / "b", None)
    assert first == load_encryption_key(tmp_path / "b", None)
    assert (tmp_path / "b" / "session-key").stat().st_mode & 0o777 == 0o600


def test_changed_terms_must_be_accepted_again(engine: Engine, clock: FakeClock) -> None:
    """The user's own pages have no terms."""
    terms = AcceptedTerms(engine, clock)
    terms.require(STUDIO)
    with pytest.raises(Forbidden, match="sites accept foreign"):
        terms.require(FOREIGN)

    terms.accept(FOREIGN)
    terms.accept(FOREIGN)
    terms.require(FOREIGN)
    assert not terms.is_accepted(replace(FOREIGN, consent=ConsentSpec("terms", "https://example.com/new-terms")))


def test_an_unavailable_database_raises(tmp_path: Path, clock: FakeClock) -> None:
    """It is not mistaken for a site without credentials or terms."""
    unavailable = open_database(f"sqlite:///{tmp_path / 'no' / 'folder.sqlite3'}")
    with pytest.raises(Unavailable):
        AcceptedTerms(unavailable, clock).is_accepted(FOREIGN)
    with pytest.raises(Unavailable):
        SiteCredentials(unavailable, clock, Fernet.generate_key().decode()).load(FOREIGN)


def test_drift_is_a_change_of_matches(client: Redis, clock: FakeClock) -> None:
    """The first run changes nothing; selectors that a run did not use stay; the list is bounded."""
    drift = SelectorDrift(client, clock)
    assert drift.record("a", {"#prompt": "#prompt", "#seed": "#seed"}) == []
    assert drift.record("a", {"#prompt": "#prompt"}) == []

    changed = SelectorChange("#prompt", "#prompt", "aria/Prompt", clock.now_ms())
    assert drift.record("a", {"#prompt": "aria/Prompt"}) == [changed]
    assert [changed] == drift.list_changes("a")
    assert {"#prompt": "aria/Prompt", "#seed": "#seed"} == drift.get_matches("a")
    for number in range(2 * MAX_CHANGES):
        drift.record("a", {"#seed": f"#seed{number}"})
    assert MAX_CHANGES == len(drift.list_changes("a"))
    assert drift.record("a", {}) == []


def test_a_canary_has_its_turn_and_its_outcome(stores: RedisStores, client: Redis, clock: FakeClock) -> None:
    """A site has one canary at a time, and its outcome is stored until the next one ends."""
    canaries = Canaries(client, clock)
    assert [True, False] == [canaries.claim_turn("studio", 60), canaries.claim_turn("studio", 60)]
    assert canaries.read_outcomes(["studio"]) == {"studio": None}
    job = _failed(stores)
    canaries.record_sent("studio", job.id)
    assert job.id == canaries.get_pending("studio")

    canaries.record_outcome("studio", job)

    outcome = canaries.read_outcomes(["studio"])["studio"]
    assert outcome
    assert (False, "site_changed", job.finished_at) == (outcome.ok, outcome.code, outcome.at)
    assert canaries.get_pending("studio") is None
    canaries.record_outcome("studio", None)
    assert canaries.read_outcomes(["studio"])["studio"] == outcome


def _failed(stores: RedisStores) -> Job:
    stores.jobs.create("c" * 32, "canary", JobRequest("studio", "a canary"), "r")
    job = stores.attempts.claim("w")
    assert job
    stores.attempts.fail(job, SiteChanged("gone"))
    return stores.jobs.get(job.id)
