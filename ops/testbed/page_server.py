"""Pages of a testbed: an HTTP server in a thread, and the recipe of a page with a prompt and a button."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

POLL_INTERVAL_S = 0.05
RECIPE = """
title = "{title}"
description = "{description}"
url = "{url}"
consent = {{ownership = "own"}}
limits = {{concurrency = 0, min_interval_s = 0, daily = 0}}
steps = [
  {{type = "navigate", url = "{{{{url}}}}"}},
  {{type = "change", selectors = ["#prompt"], value = "{{{{prompt}}}}"}},
  {{type = "click", selectors = ["#go"], submits = true}},
]
observe = {{{observed} = {{selectors = ["#{observed}"]}}, done = {{selectors = ["#result"]}}}}
"""


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


def page_recipe(title: str, description: str, url: str, observed: str) -> str:
    """Return the recipe of a page as TOML; the page shows ``observed``, ``preview`` or ``progress``, and the result."""
    return RECIPE.format(title=title, description=description, url=url, observed=observed)
