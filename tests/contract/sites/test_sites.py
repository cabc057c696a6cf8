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
from schemas.jobs.job import Job, Submission
from schemas.sites.recipe import Consent, Recipe, Session
from stores.sites.accepted_terms import Consents
from stores.sites.canaries import Canaries
from stores.sites.credentials import Sessions, session_key
from stores.sites.recipes import Recipes
from stores.sites.selector_drift import CHANGES_KEPT, Change, Drift
from tests.conftest import FakeClock
from tests.contract.conftest import Kept

COOKIE = {"name": "session", "value": "a-secret", "domain": "127.0.0.1", "path": "/"}
STATE = {"cookies": [COOKIE], "origins": []}
STUDIO = Recipes("studio").get("studio")
FOREIGN = replace(STUDIO, name="foreign", bundle=None, consent=Consent("terms", "https://example.com/terms"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with its tables."""
    url = f"sqlite:///{tmp_path / 'sites.sqlite3'}"
    migrate(url)
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine: Engine, clock: FakeClock) -> Sessions:
    """The store under test."""
    return Sessions(engine, clock, Fernet.generate_key().decode())


def test_a_login_is_kept_encrypted_and_replaced(sessions: Sessions, engine: Engine) -> None:
    """One for each site; the database holds nothing that could be used."""
    sessions.keep("foreign", {"cookies": []})
    sessions.keep("foreign", STATE)

    assert STATE == sessions.state(FOREIGN)
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT state FROM site_sessions")).all()
    assert "a-secret" not in row.state
    assert [True, False] == [sessions.forget("foreign"), sessions.forget("foreign")]
    assert sessions.state(FOREIGN) is None


def test_a_login_that_is_needed_and_not_there_needs_a_person(sessions: Sessions, engine: Engine) -> None:
    """So does one that was kept under another key. A bundled page knows none."""
    needing: Recipe = replace(FOREIGN, session=Session(required=True))
    with pytest.raises(NeedsHuman, match="Nobody is signed in"):
        sessions.state(needing)
    assert sessions.state(STUDIO) is None

    sessions.keep("foreign", STATE)
    other = Sessions(engine, FakeClock(), Fernet.generate_key().decode())
    with pytest.raises(NeedsHuman, match="another SESSION_KEY"):
        other.state(needing)


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
def test_what_is_no_storage_state_is_refused(sessions: Sessions, state: dict[str, object]) -> None:
    """And nothing is kept of it."""
    with pytest.raises(Invalid):
        sessions.keep("foreign", state)
    assert sessions.state(FOREIGN) is None


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """In a file that only its owner reads; one that is configured makes no file."""
    assert session_key(tmp_path / "a", "configured") == "configured"
    assert not (tmp_path / "a").exists()
    first = session_key(tmp_path / "b", None)
    assert first == session_key(tmp_path / "b", None)
    assert (tmp_path / "b" / "session-key").stat().st_mode & 0o777 == 0o600


def test_terms_are_accepted_once_and_anew_when_they_move(engine: Engine, clock: FakeClock) -> None:
    """One's own pages need none."""
    consents = Consents(engine, clock)
    consents.require(STUDIO)
    with pytest.raises(Forbidden, match="sites accept foreign"):
        consents.require(FOREIGN)

    consents.accept(FOREIGN)
    consents.accept(FOREIGN)
    consents.require(FOREIGN)
    assert not consents.given(replace(FOREIGN, consent=Consent("terms", "https://example.com/new-terms")))


def test_a_database_that_is_away_is_said(tmp_path: Path, clock: FakeClock) -> None:
    """Not taken for a site without login or consent."""
    nowhere = open_database(f"sqlite:///{tmp_path / 'no' / 'folder.sqlite3'}")
    with pytest.raises(Unavailable):
        Consents(nowhere, clock).given(FOREIGN)
    with pytest.raises(Unavailable):
        Sessions(nowhere, clock, Fernet.generate_key().decode()).state(FOREIGN)


def test_drift_is_what_was_found_otherwise_than_before(client: Redis, clock: FakeClock) -> None:
    """The first run is none; places that a run did not look for stay as they were; the report is bounded."""
    drift = Drift(client, clock)
    assert drift.note("a", {"#prompt": "#prompt", "#seed": "#seed"}) == []
    assert drift.note("a", {"#prompt": "#prompt"}) == []

    changed = Change("#prompt", "#prompt", "aria/Prompt", clock.now_ms())
    assert drift.note("a", {"#prompt": "aria/Prompt"}) == [changed]
    assert [changed] == drift.report("a")
    assert {"#prompt": "aria/Prompt", "#seed": "#seed"} == drift.read("a")
    for number in range(2 * CHANGES_KEPT):
        drift.note("a", {"#seed": f"#seed{number}"})
    assert CHANGES_KEPT == len(drift.report("a"))
    assert drift.note("a", {}) == []


def test_a_canary_has_its_turn_and_its_outcome(kept: Kept, client: Redis, clock: FakeClock) -> None:
    """One at a time; what became of it is kept until the next."""
    canaries = Canaries(client, clock)
    assert [True, False] == [canaries.take_turn("studio", 60), canaries.take_turn("studio", 60)]
    assert canaries.read(["studio"]) == {"studio": None}
    job = _failed(kept)
    canaries.sent("studio", job.id)
    assert job.id == canaries.pending("studio")

    canaries.ended("studio", job)

    outcome = canaries.read(["studio"])["studio"]
    assert outcome
    assert (False, "site_changed", job.finished_at) == (outcome.ok, outcome.code, outcome.at)
    assert canaries.pending("studio") is None
    canaries.ended("studio", None)
    assert canaries.read(["studio"])["studio"] == outcome


def _failed(kept: Kept) -> Job:
    kept.jobs.create("c" * 32, "canary", Submission("studio", "a canary"), "r")
    job = kept.attempts.claim("w")
    assert job
    kept.attempts.fail(job, SiteChanged("gone"))
    return kept.jobs.get(job.id)
