"""The owner's key in its file: made once, for its owner only, and replaced while everything runs."""

import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ops.infra import secret_file
from ops.infra.settings import SettingsError
from schemas.errors import Conflict, Unauthorized, Unavailable
from stores.accounts.owner_key import KEY_FILE, LOCK_FILE, OwnerKey
from tests.conftest import API_KEY
from tests.contract.accounts.test_api_keys import FakeTimer


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """What new files may not be, for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def written(folder: Path, text: str) -> OwnerKey:
    """A key whose file holds that."""
    (folder / KEY_FILE).write_text(text)
    return OwnerKey(folder)


def test_the_key_file_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    """64 hexadecimal digits, readable by nobody else, the same on every boot."""
    key = OwnerKey(tmp_path / "data").read()
    file = tmp_path / "data" / "api-key.json"

    assert key == OwnerKey(tmp_path / "data").read()
    assert len(bytes.fromhex(key)) * 2 == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [file] == list((tmp_path / "data").iterdir())
    assert OwnerKey(tmp_path / "data", "configured").read() == "configured"


def test_whoever_starts_at_once_gets_the_same_key(tmp_path: Path) -> None:
    """One makes the file, all use it."""
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(OwnerKey(tmp_path).read())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert [KEY_FILE] == [path.name for path in tmp_path.iterdir()]


def test_another_process_believes_a_new_key_within_a_second(tmp_path: Path) -> None:
    """And looks at the file no more often than that."""
    ticks = FakeTimer()
    here, there = OwnerKey(tmp_path), OwnerKey(tmp_path, monotonic=ticks)
    old = there.read()
    new = here.regenerate()

    assert here.read() == new
    assert len(bytes.fromhex(new)) == 32
    ticks.now = 0.99
    assert there.read() == old
    ticks.now = 1.0
    assert (there.read(), there.read_hash()) == (new, here.read_hash())


def test_who_must_know_now_looks_now(tmp_path: Path) -> None:
    """Without waiting for the second to be over."""
    there = OwnerKey(tmp_path, monotonic=FakeTimer())
    there.read()
    new = OwnerKey(tmp_path).regenerate()
    there.refresh()

    assert there.read() == new


def test_the_new_file_is_for_its_owner_only_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the mask of the process allows, and whatever the old file was."""
    modes: list[int] = []

    def fsync(descriptor: int) -> None:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path.name != KEY_FILE)

    owner_key = written(tmp_path, json.dumps({"key": API_KEY}))
    (tmp_path / KEY_FILE).chmod(0o644)
    monkeypatch.setattr(secret_file.os, "fsync", fsync)
    with umask(0):
        owner_key.regenerate()

    assert set(modes) == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert {KEY_FILE, LOCK_FILE} == {path.name for path in tmp_path.iterdir()}


def test_nobody_ever_reads_half_a_file(tmp_path: Path) -> None:
    """Who looks while the key changes sees the old one or a new one, whole."""
    made = {OwnerKey(tmp_path).read()}
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(json.loads((tmp_path / KEY_FILE).read_text())["key"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    owner_key = OwnerKey(tmp_path)
    made |= {owner_key.regenerate() for _ in range(30)}
    done.set()
    watcher.join()

    assert seen
    assert seen <= made


def test_of_two_who_ask_at_once_one_gets_a_key(tmp_path: Path) -> None:
    """And that one is valid; the other's key was over already."""
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


def test_while_somebody_else_is_at_it_it_is_a_conflict(tmp_path: Path) -> None:
    """Nobody waits for a process that may hang; the key stays."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()
    with secret_file.exclusive_lock(tmp_path / LOCK_FILE), pytest.raises(Conflict, match="Another process"):
        owner_key.regenerate()
    assert OwnerKey(tmp_path).read() == key
    assert owner_key.regenerate(key) != key


def test_a_configured_key_is_not_regenerated(tmp_path: Path) -> None:
    """It would be back at the next start; nothing is written."""
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
def test_a_file_without_a_key_is_told_at_the_start_and_changes_nothing_later(tmp_path: Path, text: str) -> None:
    """By its path and what to do; who runs keeps the key, and a new one mends the file."""
    ticks = FakeTimer()
    running = OwnerKey(tmp_path, monotonic=ticks)
    key = running.read()
    with pytest.raises(SettingsError, match=r"api-key\.json.*api-key regenerate"):
        written(tmp_path, text).read()

    ticks.now += 1
    assert running.read() == key
    new = running.regenerate(key)
    assert OwnerKey(tmp_path).read() == new


def test_bytes_that_are_no_text_are_no_key(tmp_path: Path) -> None:
    """Nor a fault of ours."""
    (tmp_path / KEY_FILE).write_bytes(b'{"key": "\xff\xfe0123456789abcdef"}')
    with pytest.raises(SettingsError, match="is not"):
        OwnerKey(tmp_path).read()


def test_a_file_that_is_gone_leaves_the_key_and_one_that_is_back_is_believed(tmp_path: Path) -> None:
    """A disk that is away for a moment locks nobody out."""
    ticks = FakeTimer()
    owner_key = OwnerKey(tmp_path, monotonic=ticks)
    key = owner_key.read()
    file = tmp_path / KEY_FILE
    file.rename(tmp_path / "away")
    ticks.now += 1
    assert owner_key.read() == key
    assert not file.exists()

    (tmp_path / "away").rename(file)
    ticks.now += 1
    assert owner_key.read() == key
    written(tmp_path, json.dumps({"key": API_KEY}))
    ticks.now += 1
    assert owner_key.read() == API_KEY


def test_a_key_that_cannot_be_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said why, and no draft is left."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(secret_file.os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        owner_key.regenerate(key)
    assert OwnerKey(tmp_path).read() == owner_key.read() == key
    assert {KEY_FILE, LOCK_FILE} == {path.name for path in tmp_path.iterdir()}


def test_no_key_is_shown_by_accident(tmp_path: Path) -> None:
    """What a debugger or a log prints of it has no key."""
    owner_key = OwnerKey(tmp_path)
    key = owner_key.read()
    assert key not in repr(owner_key) + repr(owner_key._snapshot)
