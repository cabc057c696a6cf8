"""What is kept about sites: logins, accepted terms, canaries, and by which alternatives a page was found."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from redis import Redis
from sqlalchemy import Engine, text

from ops.infra.database import migrate, open_database
from schemas.errors import Forbidden, Invalid, NeedsHuman, SiteChanged, Unavailable
from schemas.jobs.job import Job, JobRequest
from schemas.sites.recipe import ConsentSpec, Recipe, SessionSpec
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.canaries import Canaries
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import MAX_CHANGES, SelectorChange, SelectorDrift
from tests.conftest import FakeClock
from tests.contract.conftest import RedisStores

COOKIE = {"name": "session", "value": "a-secret", "domain": "127.0.0.1", "path": "/"}
STATE = {"cookies": [COOKIE], "origins": []}
STUDIO = Recipes("studio").get("studio")
FOREIGN = replace(STUDIO, name="foreign", bundle=None, consent=ConsentSpec("terms", "https://example.com/terms"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with its tables."""
    url = f"sqlite:///{tmp_path / 'sites.sqlite3'}"
    migrate(url)
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine, clock: FakeClock) -> SiteCredentials:
    """The store under test."""
    return SiteCredentials(engine, clock, Fernet.generate_key().decode())


def test_a_login_is_kept_encrypted_and_replaced(sessions: SiteCredentials, engine: Engine) -> None:
    """One for each site; the database holds nothing that could be used."""
    sessions.store("foreign", {"cookies": []})
    sessions.store("foreign", STATE)

    assert STATE == sessions.load(FOREIGN)
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT state FROM site_sessions")).all()
    assert "a-secret" not in row.state
    assert [True, False] == [sessions.delete("foreign"), sessions.delete("foreign")]
    assert sessions.load(FOREIGN) is None


def test_a_login_that_is_needed_and_not_there_needs_a_person(sessions: SiteCredentials, engine: Engine) -> None:
    """So does one that was kept under another key. A bundled page knows none."""
    needing: Recipe = replace(FOREIGN, session=SessionSpec(required=True))
    with pytest.raises(NeedsHuman, match="needs a login"):
        sessions.load(needing)
    assert sessions.load(STUDIO) is None

    sessions.store("foreign", STATE)
    other = SiteCredentials(engine, FakeClock(), Fernet.generate_key().decode())
    with pytest.raises(NeedsHuman, match="another SESSION_KEY"):
        other.load(needing)


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
def test_what_is_no_storage_state_is_refused(sessions: SiteCredentials, state: dict[str, object]) -> None:
    """And nothing is kept of it."""
    with pytest.raises(Invalid):
        sessions.store("foreign", state)
    assert sessions.load(FOREIGN) is None


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """In a file that only its owner reads; one that is configured makes no file."""
    assert load_encryption_key(tmp_path / "a", "configured") == "configured"
    assert not (tmp_path / "a").exists()
    first = load_encryption_key(tmp_path / "b", None)
    assert first == load_encryption_key(tmp_path / "b", None)
    assert (tmp_path / "b" / "session-key").stat().st_mode & 0o777 == 0o600


def test_terms_are_accepted_once_and_anew_when_they_move(engine: Engine, clock: FakeClock) -> None:
    """One's own pages need none."""
    consents = AcceptedTerms(engine, clock)
    consents.require(STUDIO)
    with pytest.raises(Forbidden, match="sites accept foreign"):
        consents.require(FOREIGN)

    consents.accept(FOREIGN)
    consents.accept(FOREIGN)
    consents.require(FOREIGN)
    assert not consents.is_accepted(replace(FOREIGN, consent=ConsentSpec("terms", "https://example.com/new-terms")))


def test_a_database_that_is_away_is_said(tmp_path: Path, clock: FakeClock) -> None:
    """Not taken for a site without login or consent."""
    nowhere = open_database(f"sqlite:///{tmp_path / 'no' / 'folder.sqlite3'}")
    with pytest.raises(Unavailable):
        AcceptedTerms(nowhere, clock).is_accepted(FOREIGN)
    with pytest.raises(Unavailable):
        SiteCredentials(nowhere, clock, Fernet.generate_key().decode()).load(FOREIGN)


def test_drift_is_what_was_found_otherwise_than_before(client: Redis, clock: FakeClock) -> None:
    """The first run is none; places that a run did not look for stay as they were; the report is bounded."""
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
    """One at a time; what became of it is kept until the next."""
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
