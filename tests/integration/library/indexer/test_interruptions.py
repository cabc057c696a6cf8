"""The indexer beside others, through outages and interruptions."""

import signal
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ops.infra.redis import connect
from ops.processes.embedded_redis import SOCKET_NAME, server_command
from tests.conftest import answers_ping, eventually
from tests.integration.library.indexer.conftest import IndexedLibrary, open_stores_with_database, running_indexer
from workers.library import indexer
from workers.library.indexer import LibraryIndexer
from workers.library.scanner.hash_file import CHUNK_BYTES

GIGABYTE = 1024**3


def test_one_of_two_indexers_is_the_leader(library: IndexedLibrary) -> None:
    """When it stops, the other one takes over."""
    with running_indexer(library.stores) as first:
        eventually(library.stores.scan_requests.latest)
        after = library.stores.scan_requests.last_event_id()
        with open_stores_with_database(library.stores.settings) as stores, running_indexer(stores):
            library.write_model("a.safetensors")
            events = library.collect_events(after, lambda event: event["id"] == "change")
            assert all(event["id"] == "change" for event in events)
            first.stop()
            library.collect_events(after, lambda event: event["id"] == "boot")
            library.write_model("b.safetensors")
            eventually(lambda: library.names("is:hashed") == ["a", "b"])


def test_indexing_continues_without_redis(library: IndexedLibrary, tmp_path: Path) -> None:
    """Changes are indexed, and requests are answered once Redis is back."""
    socket = tmp_path / "r" / SOCKET_NAME
    socket.parent.mkdir()
    server = subprocess.Popen(server_command(socket.parent, socket))
    url = f"unix://{socket}?db=0"
    client = connect(url, retries=0)
    eventually(lambda: answers_ping(client))
    with open_stores_with_database(replace(library.stores.settings, redis_url=url)) as stores, running_indexer(stores):
        eventually(stores.scan_requests.latest)
        server.kill()
        server.wait()
        library.write_model("a.safetensors")
        eventually(lambda: library.names() == ["a"])
        with subprocess.Popen(server_command(socket.parent, socket)) as server:
            eventually(lambda: answers_ping(client))
            scan_id = stores.scan_requests.request(full=False)
            eventually(lambda: (stores.scan_requests.latest() or {}).get("id") == scan_id)
            server.send_signal(signal.SIGTERM)
    client.close()


def test_hashing_is_interrupted_and_resumed(library: IndexedLibrary) -> None:
    """It stops in the middle of a large file, and every file is hashed in the end."""
    large = library.write_model("large.safetensors")
    with large.open("r+b") as file:
        file.truncate(40 * GIGABYTE)
    library.write_model("small.safetensors")
    slow = replace(library.stores.settings, hash_rate_mb_s=1)
    with open_stores_with_database(slow) as stores, running_indexer(stores):
        eventually(lambda: library.names("is:hashed") == ["small"])
    assert library.names("large -is:hashed") == ["large"]
    with large.open("r+b") as file:
        file.truncate(2 * CHUNK_BYTES)
    with running_indexer(library.stores):
        eventually(lambda: "large" in library.names("is:hashed"))


def test_a_long_scan_is_interrupted_without_errors(library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next indexer answers the request for it."""
    for number in range(120):
        library.write_model(f"{number}.safetensors")
    stopping = threading.Event()
    reading, read = threading.Event(), indexer.Scan._read_file

    def slow(self: Any, file: Any) -> Any:
        reading.set()
        stopping.wait(60)
        return read(self, file)

    scan_id = library.stores.scan_requests.request(full=False)
    after = library.stores.scan_requests.last_event_id()
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(indexer.Scan, "_read_file", slow)
        library_indexer = LibraryIndexer(library.stores)
        library_indexer.start()
        assert reading.wait(60)
        stopping_thread = threading.Thread(target=library_indexer.stop)
        stopping_thread.start()
        eventually(library_indexer._stop_event.is_set)
        stopping.set()
        stopping_thread.join(60)
        assert not stopping_thread.is_alive()
    assert library.names() == []
    assert not [entry for entry in logs if entry["log_level"] in ("warning", "error", "critical")]
    with running_indexer(library.stores):
        library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
        assert len(library.names()) == 100


def test_an_interrupted_request_is_answered_by_the_next_indexer(
    library: IndexedLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next indexer runs a full scan, as requested."""
    reading, stopping = threading.Event(), threading.Event()
    with monkeypatch.context() as patch:
        library_indexer = LibraryIndexer(library.stores)
        library_indexer.start()
        eventually(library.stores.scan_requests.latest)
        read = indexer.Scan._read_file

        def slow(self: Any, file: Any) -> Any:
            reading.set()
            stopping.wait(60)
            return read(self, file)

        patch.setattr(indexer.Scan, "_read_file", slow)
        patch.setattr(library_indexer._watcher, "take_changes", list)
        library.write_model("a.safetensors")
        after = library.stores.scan_requests.last_event_id()
        scan_id = library.stores.scan_requests.request(full=True)
        assert reading.wait(60)
        stopping_thread = threading.Thread(target=library_indexer.stop)
        stopping_thread.start()
        eventually(library_indexer._stop_event.is_set)
        stopping.set()
        stopping_thread.join(60)
    with running_indexer(library.stores):
        events = library.collect_events(after, lambda event: event["id"] == scan_id and event["state"] == "done")
    assert events[-1]["read"] == 1
