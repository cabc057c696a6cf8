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
    result, error = get_hub().threadpool.apply(_capture, (call,))
    if error is not None:
        raise error
    return cast(T, result)


def _capture(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return the result or the error; gevent would print the traceback of an error, although the caller handles it."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - raised again in the greenlet of the caller
        return None, error
