"""The watch over keys whose answers last: streams and waits end when their key does.

Kept by ``api.jobs.event_streams`` and ``api.jobs.long_poll``. One thread a process looks at each key, however many hang
on it.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys
from stores.redis.pubsub import ChangeSignal

# Beside the second for which ``Keys`` believes an answer.
POLL_INTERVAL_S = 0.2


class RevocationWatcher:
    """The keys that something hangs on in this process."""

    def __init__(self, keys: ApiKeys) -> None:
        """Looks from the first ``keep`` on, and until there is nothing to look after."""
        self._keys = keys
        self._lock = threading.Lock()
        self._kept: defaultdict[str, set[ChangeSignal]] = defaultdict(set)
        self._is_polling = False
        self._pause = threading.Event()

    @contextmanager
    def watch(self, key: str, watch: ChangeSignal) -> Iterator[None]:
        """For as long as the block lasts ``watch`` is told once the key is nobody's any more."""
        with self._lock:
            self._kept[key].add(watch)
            if not self._is_polling:
                self._is_polling = True
                threading.Thread(target=self._run, name="vigil", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._kept[key].discard(watch)
                if not self._kept[key]:
                    del self._kept[key]

    def _run(self) -> None:
        while kept := self._next():
            for key, watches in kept.items():
                if self._is_over(key):
                    for watch in watches:
                        watch.revoked = True
                        watch.notify()
            self._pause.wait(POLL_INTERVAL_S)

    def _next(self) -> dict[str, list[ChangeSignal]]:
        """What is to be looked at now; whoever finds nothing ends."""
        with self._lock:
            self._is_polling = bool(self._kept)
            return {key: list(watches) for key, watches in self._kept.items()}

    def _is_over(self, key: str) -> bool:
        try:
            return self._keys.authenticate(key) is None
        except Unavailable:
            # Nothing is known to have changed: whoever revokes a key needs the database too.
            return False
