"""The owner's key in its file: created once, readable by its owner only, replaced while processes run."""

import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.infra.files import secret_file
from ops.infra.settings import SettingsError
from schemas.errors import Conflict, Unauthorized, Unavailable
from stores.accounts.owner_key import KEY_FILE, LOCK_FILE, OwnerKey
from tests.conftest import API_KEY
from tests.contract.accounts.test_api_keys import FakeTimer


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Set the umask for the block."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def write_key_file(folder: Path, text: str) -> OwnerKey:
    """Write the key file and return its OwnerKey."""
    (folder / KEY_FILE).write_text(text)
    return OwnerKey(folder)


def test_the_key_file_is_created_once_with_mode_600(tmp_path: Path) -> None:
    """The key has 64 hexadecimal digits and is the same after a restart."""
    key = OwnerKey(tmp_path / "data").read()
    file = tmp_path / "data" / "api-key.json"

    assert key == OwnerKey(tmp_path / "data").read()
    assert len(bytes.fromhex(key)) * 2 == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [file] == list((tmp_path / "data").iterdir())
    assert OwnerKey(tmp_path / "data", "configured").read() == "configured"


def test_concurrent_starts_get_the_same_key(tmp_path: Path) -> None:
    """One process creates the file, and all of them use it."""
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(OwnerKey(tmp_path).read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [KEY_FILE] == [path.name for path in tmp_path.iterdir()]


def test_another_process_uses_a_new_key_within_a_second(tmp_path: Path) -> None:
    """It checks the file no more than once a second."""
    timer = FakeTimer()
    owner_key, other = OwnerKey(tmp_path), OwnerKey(tmp_path, monotonic=timer)
    old = other.read()
    new = owner_key.regenerate()

    assert owner_key.read() == new
    assert len(bytes.fromhex(new)) == 32
    timer.now = 0.99
    assert other.read() == old
    timer.now = 1.0
    assert (other.read(), other.read_hash()) == (new, owner_key.read_hash())


def test_refresh_checks_the_file_at_once(tmp_path: Path) -> None:
    """It does not wait until the second is over."""
    other = OwnerKey(tmp_path, monotonic=FakeTimer())
    other.read()
    new = OwnerKey(tmp_path).regenerate()
    other.refresh()

    assert other.read() == new


def test_a_new_key_file_has_mode_600_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the umask nor the mode of the old file matters."""
    modes: list[int] = []

    def fsync(descriptor: int) -> None:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.name != KEY_FILE)

    owner_key = write_key_file(tmp_path, json.dumps({"key": API_KEY}))
    (tmp_path / KEY_FILE).chmod(0o644)
    monkeypatch.setattr(secret_file.os, "fsync", fsync)
    with umask(0):
        owner_key.regenerate()

    assert set(modes) == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert {KEY_FILE, LOCK_FILE} == {path.name for path in tmp_path.iterdir()}


def test_the_key_file_is_replaced_atomically(tmp_path: Path) -> None:
    """A concurrent reader sees the old key or a new one."""
    made = {OwnerKey(tmp_path).read()}
    keys: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            keys.add(json.loads((tmp_path / KEY_FILE).read_text())["key"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    owner_key = OwnerKey(tmp_path)
    made |= {owner_key.regenerate() for _ in range(30)}
    done.set()
    watcher.join()

    assert keys
    assert keys <= made


def test_of_concurrent_regenerations_one_succeeds(tmp_path: Path) -> None:
    """Its key is valid; for the others, the current key is no longer valid."""
    held = OwnerKey(tmp_path).read()
    outcomes: list[str | type[Exception]] = []
    together = threading.Barrier(6)

    def ask() -> None:
        owner_key = OwnerKey(tmp_path)
        together.wait()
        try:
            outcomes.append(owner_key.regenerate(held))
        except (Conflict, Unauthorized) as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [OwnerKey(tmp_path).read()] == [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert len(outcomes) == 6


def test_a_locked_key_file_is_a_conflict(tmp_path: Path) -> None:
    """Regeneration does not wait for a process that may hang; the key stays."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()
    with secret_file.exclusive_lock(tmp_path / LOCK_FILE), pytest.raises(Conflict, match="Another process"):
        owner_key.regenerate()
    assert OwnerKey(tmp_path).read() == key
    assert owner_key.regenerate(key) != key


def test_a_configured_key_cannot_be_regenerated(tmp_path: Path) -> None:
    """No file is written."""
    owner_key = OwnerKey(tmp_path, API_KEY)
    with pytest.raises(Conflict, match="change API_KEY"):
        owner_key.regenerate(API_KEY)
    owner_key.refresh()
    assert owner_key.read() == API_KEY
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"key"',
        '{"key": 7}',
        '{"key": null}',
        '{"key": "short"}',
        '{"kee": "0123456789abcdef"}',
        json.dumps({"key": "x" * 513}),
        json.dumps({"key": "sixteen characters\n"}),
        json.dumps({"key": "\ud800" * 20}),
        "[" * 4000,
        '{"key": "' + "0" * 10_000 + '"}',
    ],
)
def test_an_invalid_key_file_is_reported_at_the_start_only(tmp_path: Path, text: str) -> None:
    """A running process keeps its key, and a regeneration repairs the file."""
    timer = FakeTimer()
    running = OwnerKey(tmp_path, monotonic=timer)
    key = running.read()
    with pytest.raises(SettingsError, match=r"api-key\.json.*api-key regenerate"):
        write_key_file(tmp_path, text).read()

    timer.now += 1
    assert running.read() == key
    new = running.regenerate(key)
    assert OwnerKey(tmp_path).read() == new


def test_a_key_file_that_is_not_utf8_is_invalid(tmp_path: Path) -> None:
    """The error is a SettingsError."""
    (tmp_path / KEY_FILE).write_bytes(b'{"key": "\xff\xfe0123456789abcdef"}')
    with pytest.raises(SettingsError, match="is not"):
        OwnerKey(tmp_path).read()


def test_a_missing_key_file_keeps_the_key(tmp_path: Path) -> None:
    """A file that comes back is used again."""
    timer = FakeTimer()
    owner_key = OwnerKey(tmp_path, monotonic=timer)
    key = owner_key.read()
    file = tmp_path / KEY_FILE
    file.rename(tmp_path / "away")
    timer.now += 1
    assert owner_key.read() == key
    assert not file.exists()

    (tmp_path / "away").rename(file)
    timer.now += 1
    assert owner_key.read() == key
    write_key_file(tmp_path, json.dumps({"key": API_KEY}))
    timer.now += 1
    assert owner_key.read() == API_KEY


def test_a_failed_write_keeps_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has the reason, and no temporary file is left."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_file.os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        owner_key.regenerate(key)
    assert OwnerKey(tmp_path).read() == owner_key.read() == key
    assert {KEY_FILE, LOCK_FILE} == {path.name for path in tmp_path.iterdir()}


def test_the_repr_contains_no_key(tmp_path: Path) -> None:
    """Neither a debugger nor a log shows it."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()
    assert key not in repr(owner_key) + repr(owner_key._snapshot)
