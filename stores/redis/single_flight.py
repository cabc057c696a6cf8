"""The sharing of reads: of many in one process who want to know the same, one asks and all have the answer."""

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
    """The newest answers by what was asked."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._turns = [threading.Lock() for _ in range(LOCK_STRIPES)]
        self._lock = threading.Lock()
        self._known: OrderedDict[K, V] = OrderedDict()

    def do(self, key: K, read: Callable[[], V], is_fresh: Callable[[V], bool]) -> V:
        """What is known of ``key`` if that is good enough, else what ``read`` says.

        Raises:
            Unavailable: others have waited for their read too long; and whatever ``read`` raises.
        """
        with self._turn(key):
            known = self._known.get(key)
            if known is not None and is_fresh(known):
                return known
            answer = read()
            with self._lock:
                self._known[key] = answer
                self._known.move_to_end(key)
                while len(self._known) > MAX_CACHED:
                    self._known.popitem(last=False)
            return answer

    @contextmanager
    def _turn(self, key: K) -> Iterator[None]:
        turn = self._turns[hash(key) % LOCK_STRIPES]
        # Where a read hangs, those behind it are not to wait for it one after another.
        if not turn.acquire(timeout=LOCK_TIMEOUT_S):
            raise Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S)
        try:
            yield
        finally:
            turn.release()
