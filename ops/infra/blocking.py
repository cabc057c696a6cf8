"""Blocking native calls that do not stall gevent's event loop, and those that get a limited time."""

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from gevent import get_hub
from gevent.monkey import is_module_patched
from gevent.threadpool import ThreadPool

# Of each kind of calls that has threads of its own.
THREADS = 10
T = TypeVar("T")


def run_blocking(call: Callable[[], T], kind: str = "") -> T:
    """Return what ``call`` returns; under gevent it runs in a thread while other greenlets go on.

    Calls of a ``kind`` have threads of their own: those that hang leave the others theirs, which also look up names.
    """
    if not is_module_patched("threading"):
        return call()
    threads = _threads(kind) if kind else get_hub().threadpool
    result, error = threads.apply(_capture, (call,))
    if error is not None:
        raise error
    return cast(T, result)


class TimedCalls:
    """Calls that get a limited time. One that takes longer goes on, but is not waited for any more."""

    def __init__(self) -> None:
        self._abandoned: set[Future[Any]] = set()

    def are_stuck(self) -> bool:
        """Whether a call that is not waited for any more has not returned."""
        return bool(self._abandoned)

    def run(self, limit_s: float, call: Callable[[], T]) -> T:
        """Return what ``call`` returns. Under gevent, native calls inside it must use ``run_blocking``.

        Raises:
            TimeoutError: the time is over.
        """
        future = start_thread(call)
        try:
            return future.result(limit_s)
        except TimeoutError:
            if future.done():
                raise
            raise TimeoutError(f"No answer in {limit_s:.3g} s") from None
        finally:
            if not future.done():
                self._abandoned.add(future)
                future.add_done_callback(self._abandoned.discard)


def start_thread(call: Callable[[], T]) -> Future[T]:
    """Run ``call`` in a thread of its own, under gevent a greenlet, which the end of the process does not wait for."""
    future: Future[T] = Future()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
            future.set_exception(error)

    # Of an executor the interpreter would wait for the thread at its end.
    threading.Thread(target=run, name=start_thread.__name__, daemon=True).start()
    return future


@functools.cache
def _threads(_kind: str) -> ThreadPool:
    """Return the threads of this process for a kind, made when first used: threads do not survive a fork."""
    return ThreadPool(THREADS)


def _capture(call: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Return the result or the error; gevent would print the traceback of an error, although the caller handles it."""
    try:
        return call(), None
    except Exception as error:  # noqa: BLE001 - raised again in the greenlet of the caller
        return None, error
