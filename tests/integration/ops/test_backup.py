"""Backup and restore of a whole installation, between SQLite and PostgreSQL and while it is in use."""

import json
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import create_engine, func, insert, select, text

from ops.cli.main import main
from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database, recreate_tables
from ops.infra.settings import Settings
from schemas.accounts.caller import Scope
from schemas.errors import Conflict
from schemas.gallery.assets import Asset
from schemas.gallery.collections import NewCollection
from schemas.gallery.tokens import MediaStatus, NewToken, TokenMedia
from stores.accounts.api_keys import ApiKeys, KeyChange
from stores.accounts.owner_key import OwnerKey
from stores.accounts.wallet_addresses import WalletAddresses
from stores.backup import installation as installation_module
from stores.backup.archive import open_backup
from stores.backup.installation import Installation, open_installation, restore_backup, write_backup
from stores.backup.rows import reflect_tables
from stores.gallery import Gallery
from stores.library import tables as library
from stores.media import Media
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sql import tables
from tests.conftest import eventually
from tests.support.s3_server import S3Server, serve_s3

MODEL = {
    **dict.fromkeys(("name_key", "type", "type_key", "category", "category_key"), "x"),
    **dict.fromkeys(("nsfw_level", "downloads", "likes", "newest_at", "size_bytes", "files", "flags"), 0),
}
VERSION = {"facts": "{}", "first_seen": 0}
FILE = {
    **dict.fromkeys(("inode", "size_bytes", "mtime_ns", "first_seen"), 2**62),
    "kind": "safetensors",
    "companions": "",
    "header": "{}",
    "hashes": "{}",
    "root": "/models",
}
IMAGE = {"nsfw_level": 0, "params": "{}", "sort_order": 0, "created_at": 0}
PICTURE = bytes(range(256)) * 3000


def execute_on_server(url: str, statement: str) -> None:
    """Run a statement outside of transactions."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def place(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path
) -> Iterator[Callable[[str, str], Settings]]:
    """Make an empty place with a database of a kind."""
    names: list[str] = []

    def make(name: str, kind: str) -> Settings:
        url = f"sqlite:///{tmp_path / name / 'darkroom.sqlite3'}"
        if kind == "postgresql":
            base = request.getfixturevalue("postgresql")
            execute_on_server(base, f"CREATE DATABASE backup_{name}")
            names.append(f"backup_{name}")
            url = base.replace("/postgres?", f"/backup_{name}?")
        folders = {"data_dir": tmp_path / name, "media_url": (tmp_path / name / "media").as_uri()}
        return replace(settings, **folders, database_url=url, api_key=None, session_key=None)

    yield make
    for name in names:
        execute_on_server(request.getfixturevalue("postgresql"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server with an empty bucket, and the variables that give access to it."""
    with serve_s3(tmp_path_factory.mktemp("s3")) as running, pytest.MonkeyPatch.context() as environment:
        for name, value in running.environment.items():
            environment.setenv(name, value)
        yield running


def run(settings: Settings, *arguments: str) -> Result:
    """Run a command in a place."""
    environment = {
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url,
        "MEDIA_URL": settings.media_url,
    }
    return CliRunner().invoke(main, list(arguments), env=environment, catch_exceptions=False)


def fill_gallery(gallery: Gallery) -> None:
    """Store a collection with a token, its picture and its provenance."""
    collection = gallery.collections.create("ada", NewCollection("Sea"))
    gallery.collections.update("ada", collection.id, {"slug": "ocean"})
    media = TokenMedia(MediaStatus.READY, sha256="a" * 64, type="image/png", asset="two.png")
    token = NewToken("Dusk", attributes=({"value": 1.5},), provenance={"jobId": "c" * 32})
    assets = [Asset("two.png", "gallery/ab/two.png", "image/png", "a" * 64, 5)]
    gallery.tokens.add_from_job("ada", collection, token, media, assets)


def fill(settings: Settings) -> str:
    """Store something of every kind; the API key that was created."""
    migrate(settings.database_url)
    engine, clock = open_database(settings.database_url), SystemClock()
    api_keys = ApiKeys(engine, clock, OwnerKey.from_settings(settings))
    api_keys_key = api_keys.create("Ada 🖼", KeyChange(scopes=frozenset({Scope.GENERATE})))
    OwnerKey.from_settings(settings).read()
    WalletAddresses(engine).get_or_create("ada")
    key = load_encryption_key(settings.data_dir, None)
    SiteCredentials(engine, clock, key).store("studio", {"cookies": [], "origins": []})
    media = Media(settings.media_url)
    with engine.begin() as connection:
        connection.execute(insert(library.models).values(id=7, name="Ink \u0007 wash\n\u2028", **MODEL))
        connection.execute(insert(library.details).values(model_id=7, facts="{}", sources="{}", search_text="ink wash"))
        connection.execute(insert(library.versions).values(id=41, model_id=7, **VERSION))
        connection.execute(insert(library.versions).values(id=42, model_id=7, **VERSION))
        connection.execute(library.versions.delete().where(library.versions.c.id == 42))
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT setval('library_versions_id_seq', 42)"))
        connection.execute(
            insert(library.files).values(version_id=41, path=b"\xff\x00/ink.safetensors", name="ink", **FILE)
        )
        connection.execute(insert(library.images).values(model_id=7, media_key="library/ab/one.png", **IMAGE))
        delivery = dict.fromkeys(("id", "owner", "url", "destination", "type", "body", "state"), "d")
        connection.execute(insert(tables.deliveries).values(**delivery, tries=1, created_at=1, next_at=1))
        attempt = {"delivery": "d", "at": 1, "duration_ms": 5, "excerpt": "no"}
        connection.execute(insert(tables.delivery_attempts), [attempt] * 2500)
    fill_gallery(Gallery.from_engine(engine, clock))
    engine.dispose()
    media.put("library/ab/one.png", PICTURE)
    media.put("gallery/ab/two.png", PICTURE[::-1])
    media.put("uploads/passing.png", b"passing")
    (settings.data_dir / "recipes").mkdir()
    (settings.data_dir / "recipes" / "mine.toml").write_text('title = "Mine"')
    return api_keys_key


def contents(settings: Settings) -> dict[str, Any]:
    """All rows, objects, keys and recipes of a place."""
    engine, media = open_database(settings.database_url), Media(settings.media_url)
    with engine.connect() as connection:
        rows = {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in reflect_tables(connection)
        }
    engine.dispose()
    objects = {key: media.get(key) for key in media.list_keys() if not key.startswith("uploads/")}
    paths = [settings.data_dir / name for name in ("api-key.json", "session-key", "recipes/mine.toml")]
    return {**rows, "objects": objects, "files": {path.name: path.read_text() for path in paths}}


@pytest.mark.parametrize(("source", "target"), [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_everything_comes_back_in_an_empty_place(
    place: Callable[[str, str], Settings],
    s3: S3Server,
    tmp_path: Path,
    source: str,
    target: str,
) -> None:
    """Rows, pictures (also in S3), keys and recipes are the same; ids are not given again; a full place is refused."""
    old, new, file = place("old", source), place("new", target), tmp_path / "all.zip"
    if target == "postgresql":
        new = replace(new, media_url=s3.media_url)
    key = fill(old)

    assert run(old, "backup", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o077 == 0
    assert run(old, "restore", str(file)).exit_code == 1
    restored = run(new, "restore", str(file))

    assert restored.exit_code == 0, restored.output
    assert contents(new) == contents(old)
    assert (new.data_dir / "session-key").stat().st_mode & 0o077 == 0
    engine = open_database(new.database_url)
    assert ApiKeys(engine, SystemClock(), OwnerKey.from_settings(new)).authenticate(key)
    with engine.begin() as connection:
        added = connection.execute(insert(library.versions).values(model_id=7, **VERSION)).inserted_primary_key
        assert added == (43,)
        if target == "sqlite":
            query = text("SELECT rowid FROM library_search WHERE library_search MATCH 'wash'")
            assert connection.execute(query).scalars().all() == [7]
    engine.dispose()
    again = run(new, "restore", str(file))
    assert (again.exit_code, "empty installation" in again.output) == (1, True)
    assert run(old, "backup", str(file)).exit_code == 1, "an existing file is not overwritten"


def test_an_older_backup_is_migrated(place: Callable[[str, str], Settings], tmp_path: Path) -> None:
    """It is restored into the tables that it had, also where the newest exist already, and then migrated."""
    old, new, file = place("old", "sqlite"), place("new", "sqlite"), tmp_path / "all.zip"
    migrate(old.database_url)
    recreate_tables(old.database_url, "0007")
    engine = open_database(old.database_url)
    with engine.begin() as connection:
        connection.execute(insert(tables.wallet_addresses).values(caller="ada", address="0x" + "Ab" * 20))
    engine.dispose()
    assert run(old, "backup", str(file)).exit_code == 0
    migrate(new.database_url)
    restored = run(new, "restore", str(file))
    assert restored.exit_code == 0, restored.output
    engine = open_database(new.database_url)
    profile = Gallery.from_engine(engine, SystemClock()).profiles.get_by_address("0x" + "ab" * 20)
    assert profile
    assert profile.caller_id == "ada"
    engine.dispose()


@pytest.mark.parametrize("source", ["sqlite", "postgresql"])
def test_a_backup_of_an_installation_in_use_is_consistent(
    place: Callable[[str, str], Settings], tmp_path: Path, source: str
) -> None:
    """While rows and pictures come, the backup has no row without its parent and none without its picture."""
    old, new, file = place("old", source), place("new", "sqlite"), tmp_path / "all.zip"
    fill(old)
    engine, media = open_database(old.database_url), Media(old.media_url)
    stop, written = threading.Event(), []

    def write() -> None:
        number = 1000
        while not stop.is_set():
            number += 1
            media.put(f"library/live/{number}.png", PICTURE[:number])
            with engine.begin() as connection:
                connection.execute(insert(library.models).values(id=number, name="live", **MODEL))
                row = {"id": number, "model_id": number, "media_key": f"library/live/{number}.png"}
                connection.execute(insert(library.images).values(**row, **IMAGE))
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: len(written) > 5)
        with open_installation(old) as installation:
            write_backup(installation, file, SystemClock())
        at_end = len(written)
        eventually(lambda: len(written) > at_end)
    finally:
        stop.set()
        writer.join()
        engine.dispose()

    with open_backup(file) as reader, open_installation(new) as installation:
        restore_backup(reader, installation)
        with installation.engine.connect() as connection:
            live = select(func.count()).select_from(library.models).where(library.models.c.name == "live")
            keys = connection.execute(select(library.images.c.media_key)).scalars().all()
            assert connection.execute(live).scalar_one() == len(keys) - 1 >= 5
        assert [key for key in keys if not installation.media.exists(key)] == []


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_a_restore_drops_nothing_that_came_meanwhile(
    place: Callable[[str, str], Settings], tmp_path: Path, target: str
) -> None:
    """Another Darkroom writes to the database, or to the media store: the restore ends, and that stays."""
    old, new, file = place("old", "sqlite"), place("new", target), tmp_path / "all.zip"
    fill(old)
    assert run(old, "backup", str(file)).exit_code == 0
    migrate(new.database_url)

    def restore_while(write: Callable[[Installation], object]) -> None:
        restore_files = installation_module._restore_files

        def restore(*arguments: Any) -> None:
            restore_files(*arguments)
            write(installation)

        with open_backup(file) as reader, open_installation(new) as installation, pytest.MonkeyPatch.context() as patch:
            patch.setattr(installation_module, "_restore_files", restore)
            with pytest.raises(Conflict, match="while the backup was being restored"):
                restore_backup(reader, installation)
            assert not (new.data_dir / "session-key").exists()

    restore_while(lambda installation: installation.media.put("gallery/ab/two.png", b"mine"))
    media = Media(new.media_url)
    assert list(media.list_keys()) == ["gallery/ab/two.png"]
    assert media.get("gallery/ab/two.png") == b"mine"
    media.delete("gallery/ab/two.png")
    restore_while(lambda installation: WalletAddresses(installation.engine).get_or_create("bob"))
    assert list(media.list_keys()) == []
    engine = open_database(new.database_url)
    with engine.connect() as connection:
        assert connection.execute(select(tables.wallet_addresses.c.caller)).scalars().all() == ["bob"]
    engine.dispose()


def test_a_damaged_backup_changes_nothing(place: Callable[[str, str], Settings], tmp_path: Path) -> None:
    """A flipped bit, a missing member, a path outside and a wrong file are reported; the place stays empty."""
    old, new, file = place("old", "sqlite"), place("new", "sqlite"), tmp_path / "all.zip"
    assert run(old, "backup", str(file)).exit_code == 1, "there are no tables"
    assert not file.exists()
    fill(old)
    run(old, "backup", str(file))
    good = file.read_bytes()
    place_of_picture = good.index(PICTURE[:200])

    def damaged(name: str, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
            for member in source.namelist():
                if changed := change(member, source.read(member)):
                    target.writestr(*changed)
        return path

    def rename(member: str, content: bytes) -> tuple[str, bytes]:
        return member, content.replace(b"files/recipes/mine.toml", b"files/recipes/../../x.t")

    flipped = tmp_path / "flipped.zip"
    flipped.write_bytes(good[:place_of_picture] + b"\xff" + good[place_of_picture + 1 :])
    cut = tmp_path / "cut.zip"
    cut.write_bytes(good[: len(good) // 2])
    newer = damaged("newer.zip", lambda name, data: (name, data.replace(b'"revision": "00', b'"revision": "99')))
    for path, words in (
        (flipped, "complete backup"),
        (cut, "complete backup"),
        (
            damaged("short.zip", lambda name, data: None if name.endswith(".png") else (name, data)),
            "exactly the members",
        ),
        (damaged("lie.zip", lambda name, data: (name, data[::-1] if name.endswith(".png") else data)), "damaged"),
        (damaged("paths.zip", rename), "name"),
        (newer, "newer Darkroom"),
        (damaged("json.zip", lambda name, data: (name, b"[" * 9999 if name == "manifest.json" else data)), "complete"),
    ):
        result = run(new, "restore", str(path))
        assert (result.exit_code, words in result.output) in ((1, True), (2, True)), (path.name, result.output)
    assert run(new, "restore", "--check", str(file)).exit_code == 0
    with open_installation(new) as installation:
        assert list(installation.media.list_keys()) == []
    assert not (new.data_dir / "api-key.json").exists()
    assert json.loads((old.data_dir / "api-key.json").read_text())
