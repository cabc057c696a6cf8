"""Owns the sharing of reads: of many in one process who want to know the same, one asks and all have the answer.

Used by ``stores.logs`` and ``stores.glances``.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

TURNS = 16
REMEMBERED = 256
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Shared(Generic[K, V]):
    """The newest answers by what was asked."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._turns = [threading.Lock() for _ in range(TURNS)]
        self._lock = threading.Lock()
        self._known: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, read: Callable[[], V], is_good: Callable[[V], bool]) -> V:
        """What is known of ``key`` if that is good enough, else what ``read`` says."""
        with self._turns[hash(key) % TURNS]:
            known = self._known.get(key)
            if known is not None and is_good(known):
                return known
            answer = read()
            with self._lock:
                self._known[key] = answer
                self._known.move_to_end(key)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            return answer
