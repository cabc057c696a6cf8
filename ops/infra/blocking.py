"""Where native code blocks: in the front in a thread of its own, so that others go on; elsewhere right here."""

from collections.abc import Callable
from typing import TypeVar, cast

from gevent import get_hub
from gevent.monkey import is_module_patched

T = TypeVar("T")


def run_blocking(call: Callable[[], T]) -> T:
    """What ``call`` answers or raises; where gevent runs, its other greenlets run meanwhile."""
    if not is_module_patched("threading"):
        return call()
    return cast(T, get_hub().threadpool.apply(call))
