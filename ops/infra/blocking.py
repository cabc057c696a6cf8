"""Blocking native calls that do not stall gevent's event loop."""

from collections.abc import Callable
from typing import TypeVar, cast

from gevent import get_hub
from gevent.monkey import is_module_patched

T = TypeVar("T")


def run_blocking(call: Callable[[], T]) -> T:
    """Return what ``call`` returns; under gevent it runs in a thread while other greenlets go on."""
    if not is_module_patched("threading"):
        return call()
    return cast(T, get_hub().threadpool.apply(call))
