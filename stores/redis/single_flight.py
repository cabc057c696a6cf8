"""Single-flight reads: of many threads that want the same value at once, one reads it for all."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from schemas.errors import Unavailable
from stores.redis.errors import RETRY_AFTER_S

LOCK_STRIPES = 16
MAX_CACHED = 256
LOCK_TIMEOUT_S = 6.0
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """The newest values by key; safe to share between threads."""

    def __init__(self) -> None:
        self._stripes = [threading.Lock() for _ in range(LOCK_STRIPES)]
        self._lock = threading.Lock()
        self._cache: OrderedDict[K, V] = OrderedDict()

    def do(self, key: K, read: Callable[[], V], is_fresh: Callable[[V], bool]) -> V:
        """Return the cached value if it is fresh, else call ``read`` and cache the result.

        Raises:
            Unavailable: another thread's read has not ended in LOCK_TIMEOUT_S. Exceptions of ``read`` pass.
        """
        with self._locked(key):
            cached = self._cache.get(key)
            if cached is not None and is_fresh(cached):
                return cached
            value = read()
            with self._lock:
                self._cache[key] = value
                self._cache.move_to_end(key)
                while len(self._cache) > MAX_CACHED:
                    self._cache.popitem(last=False)
            return value

    @contextmanager
    def _locked(self, key: K) -> Iterator[None]:
        stripe = self._stripes[hash(key) % LOCK_STRIPES]
        # Without the timeout, threads behind a hanging read would wait for it one after another.
        if not stripe.acquire(timeout=LOCK_TIMEOUT_S):
            raise Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S)
        try:
            yield
        finally:
            stripe.release()
