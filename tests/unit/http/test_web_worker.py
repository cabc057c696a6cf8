"""gunicorn's worker around the application: direct answers, and the wait while the application is loaded."""

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gunicorn.http.body import LengthReader

from ops.processes.gunicorn_worker import WebWorker

TIMEOUT_S = 60
ANSWER = SimpleNamespace(status="200 OK", headers=[("Content-Length", "2")], body=b"{}")


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The worker's end and the client's."""
    server, client = socket.socketpair()
    client.settimeout(TIMEOUT_S)
    yield server, client
    server.close()
    client.close()


def worker_with(answer: Callable[..., Any], *, keepalive: int = 75) -> Any:
    """A worker whose application gives this direct answer."""
    worker = WebWorker.__new__(WebWorker)
    worker.nr, worker.alive, worker.cfg = 0, True, SimpleNamespace(keepalive=keepalive)
    worker.wsgi = SimpleNamespace(extensions={"direct_answers": {"GET": answer, "POST": answer}})
    return worker


def plain_request() -> Any:
    """A GET request of a client that would keep its connection."""
    return SimpleNamespace(
        method="GET",
        path="/status/1",
        query="",
        version=(1, 1),
        headers=[],
        body=SimpleNamespace(reader=LengthReader(None, 0)),
        _expected_100_continue=False,
        should_close=lambda: False,
    )


@pytest.mark.parametrize(("keepalive", "word"), [(75, b"keep-alive"), (0, b"close")])
def test_a_direct_answer_says_whether_the_connection_stays(
    connection: tuple[socket.socket, socket.socket], keepalive: int, word: bytes
) -> None:
    """Without keep-alive gunicorn closes each connection, and the client is told so."""
    server, client = connection
    worker = worker_with(lambda _path, _headers: ANSWER, keepalive=keepalive)
    try:
        worker.handle_request(None, plain_request(), server, None)
    except StopIteration:
        assert not keepalive
    response = client.recv(4096)

    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: " + word + b"\r\n" in response


def test_the_forced_stop_of_a_direct_answer_closes_the_connection(
    connection: tuple[socket.socket, socket.socket],
) -> None:
    """It is not reported as a failed request."""
    server, client = connection

    def wait(_path: str, _headers: object) -> None:
        # As gevent does it at the end of the graceful timeout.
        raise gevent.GreenletExit

    with pytest.raises(StopIteration):
        worker_with(wait).handle_request(None, plain_request(), server, None)
    server.close()
    assert client.recv(1) == b""


def test_a_worker_that_waits_for_its_application_is_not_silent() -> None:
    """Gunicorn would end it; a migration takes as long as it takes."""
    worker = worker_with(lambda _path, _headers: None)
    notified = Event()
    application = object()

    def load() -> object:
        assert notified.wait(TIMEOUT_S)
        return application

    worker.notify, worker.app = notified.set, SimpleNamespace(wsgi=load)
    worker.load_wsgi()
    assert worker.wsgi is application
    notified.clear()
    gevent.sleep(0)
    assert not notified.is_set()
