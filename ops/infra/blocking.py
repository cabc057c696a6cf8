"""Blocking native calls that do not stall gevent's event loop, and those that get a limited time."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar, cast

import gevent
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


def run_within(limit_s: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns; after ``limit_s`` it continues in a thread that is not waited for.

    Under gevent, native calls inside ``call`` must use ``run_blocking``.

    Raises:
        TimeoutError: the time is over.
    """
    if is_module_patched("threading"):
        timer = gevent.Timeout(limit_s)
        try:
            with timer:
                return call()
        except gevent.Timeout as reached:
            if reached is not timer:
                raise
            raise TimeoutError(f"No answer in {limit_s:.3g} s") from None
    future = start_thread(call)
    try:
        return future.result(limit_s)
    except TimeoutError:
        if future.done():
            raise
        raise TimeoutError(f"No answer in {limit_s:.3g} s") from None


def start_thread(call: Callable[[], T]) -> Future[T]:
    """Run ``call`` in a thread of its own, which the end of the process does not wait for."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
            future.set_exception(error)

    # Of an executor the interpreter would wait for the thread at its end.
    threading.Thread(target=run, name=start_thread.__name__, daemon=True).start()
    return future


def _capture(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return the result or the error; gevent would print the traceback of an error, although the caller handles it."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - raised again in the greenlet of the caller
        return None, error
