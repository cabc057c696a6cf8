"""The tasks of the indexer: requested scans, hashing, garbage collection."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.integration.library.indexer.conftest import IndexedLibrary, open_stores_with_database, running_indexer
from workers.library.scanner.hash_file import ByteRateLimiter


def test_a_requested_scan_publishes_its_progress(library: IndexedLibrary) -> None:
    """Requests that wait for an indexer share one scan."""
    library.write_model("a.safetensors")
    scans = library.stores.scan_requests
    after = scans.last_event_id()
    scan_ids = {scans.request(full=False) for _ in range(5)}
    assert len(scan_ids) == 1
    full = scans.request(full=True)
    assert scans.request(full=True) == full
    with running_indexer(library.stores):
        events = library.collect_events(after, lambda event: event["id"] == full and event["state"] == "done")
        done = {event["id"]: event for event in events if event["state"] == "done"}
        assert done.keys() >= {"boot", full, *scan_ids}
        assert done[full]["read"] == 1
        assert scans.latest() is not None
        again = scans.request(full=False)
        events = library.collect_events(after, lambda event: event["id"] == again and event["state"] == "done")
        assert events[-1]["read"] == 0
        assert [event["phase"] for event in events if event["id"] == full][-1] == "done"


def test_hashing_is_rate_limited() -> None:
    """A pause causes no burst."""
    waits: list[float] = []
    limiter = ByteRateLimiter(2, waits.append)
    for _ in range(4):
        limiter.consume(1_000_000)
    assert waits == pytest.approx([0.5, 1.0, 1.5, 2.0], abs=0.1)


def test_unreferenced_media_are_deleted_after_a_day(library: IndexedLibrary) -> None:
    """They are deleted also without a library."""
    media = library.stores.media
    folder = Path(library.stores.settings.media_url.removeprefix("file://"))
    library.write_model("a.safetensors")
    with running_indexer(library.stores):
        eventually(lambda: library.names() == ["a"])
    [model] = library.models()
    for key in ("library/known.png", "library/orphan.png", "library/young.png", "uploads/old", "uploads/young"):
        media.put(key, b"bytes")
        if "young" not in key:
            os.utime(folder / key, (1, 1))
    values = {"media_key": "library/known.png", "nsfw_level": 0, "params": {}}
    library.stores.library.images.add(model.id, None, values)
    with open_stores_with_database(replace(library.stores.settings, models_dir=())) as stores, running_indexer(stores):
        eventually(lambda: not media.exists("library/orphan.png") and not media.exists("uploads/old"))
    assert all(media.exists(key) for key in ("library/known.png", "library/young.png", "uploads/young"))
