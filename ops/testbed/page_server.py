"""Runs an HTTP server of a testbed in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

POLL_INTERVAL_S = 0.05


@contextmanager
def serve_in_thread(server: BaseServer) -> Iterator[None]:
    """Serve until the end of the block, and then close the server."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": POLL_INTERVAL_S}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
