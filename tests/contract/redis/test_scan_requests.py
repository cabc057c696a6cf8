"""Requests for scans that several machines answer."""

from pathlib import Path

import pytest
from redis import Redis

from schemas.errors import Unavailable
from stores.library.scan_requests import ScanRequest, ScanRequests
from stores.redis.client import open_client
from stores.shards.events import RoutedScanRequests
from stores.shards.placement import Shards
from tests.conftest import FakeClock

FIGURES = {"phase": "done", "files": 2, "lost": 0}


def test_the_end_of_a_shared_request_is_published_with_the_last_folder(client: Redis, clock: FakeClock) -> None:
    """Until then each folder has the time of the last sign of life of its process."""
    requests, began = ScanRequests(client, clock), clock.now_ms()
    requests.share(ScanRequest("one", full=True), frozenset({"/a", "/b"}))
    clock.advance(60)
    requests.renew_shares(frozenset({"/a", "/other"}))
    [shared] = requests.list_shared()
    assert (shared.request.full, shared.waiting) == (True, {"/a": began + 60_000, "/b": began})

    assert requests.finish_share("one", frozenset({"/a"}), FIGURES) is None
    assert requests.latest() is None
    done = {"id": "one", "state": "done", "phase": "done", "files": 5, "lost": 0}
    assert requests.finish_share("one", frozenset({"/b"}), FIGURES | {"files": 3}) == done
    assert [event for _, event in requests.read_events("0-0")] == [{"time": clock.now_ms(), **done}]
    assert (requests.list_shared(), requests.finish_share("one", frozenset({"/b"}), FIGURES)) == ([], None)


def test_shares_during_an_outage(client: Redis, clock: FakeClock, tmp_path: Path) -> None:
    """The error is the one that indexers expect; with several servers the one that answers has the request."""
    gone = open_client(f"unix://{tmp_path / 'none.sock'}", retries=0)
    alone = ScanRequests(gone, clock)
    with pytest.raises(Unavailable):
        alone.finish_share("one", frozenset({"/a"}), FIGURES)
    with pytest.raises(Unavailable):
        alone.renew_shares(frozenset({"/a"}))

    servers = Shards(("gone", "there"), (gone, client), (alone, ScanRequests(client, clock)))  # type: ignore[arg-type] # a StoreClient
    requests = RoutedScanRequests(client, clock, servers)  # type: ignore[arg-type] # likewise
    requests.share(ScanRequest("one", full=False), frozenset({"/a"}))
    requests.renew_shares(frozenset({"/a"}))
    event = requests.finish_share("one", frozenset({"/a"}), FIGURES)
    assert event is not None
    assert (event["files"], requests.latest()) == (2, {"time": clock.now_ms(), **event})
    gone.close()
