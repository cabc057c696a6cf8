"""Revocation of API keys during long responses: streams and long polls end when their key does."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys
from stores.redis.pubsub import ChangeSignal

# In addition to the second for which ApiKeys caches an answer.
POLL_INTERVAL_S = 0.2


class RevocationWatcher:
    """Checks each key that is in use once per interval, however many responses depend on it.

    The polling thread runs while at least one key is watched.
    """

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._signals: defaultdict[str, set[ChangeSignal]] = defaultdict(set)
        self._is_polling = False
        self._pause = threading.Event()

    @contextmanager
    def watch(self, key: str, signal: ChangeSignal) -> Iterator[None]:
        """Notify ``signal``, with ``revoked`` set, when the key becomes invalid while the block runs."""
        with self._lock:
            self._signals[key].add(signal)
            if not self._is_polling:
                self._is_polling = True
                threading.Thread(target=self._run, name="key-revocation", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._signals[key].discard(signal)
                if not self._signals[key]:
                    del self._signals[key]

    def _run(self) -> None:
        while signals := self._snapshot():
            for key, waiting in signals.items():
                if self._is_revoked(key):
                    for signal in waiting:
                        signal.revoked = True
                        signal.notify()
            self._pause.wait(POLL_INTERVAL_S)

    def _snapshot(self) -> dict[str, list[ChangeSignal]]:
        """Return the signals by key; if there are none the thread ends, which ``watch`` must see under the lock."""
        with self._lock:
            self._is_polling = bool(self._signals)
            return {key: list(signals) for key, signals in self._signals.items()}

    def _is_revoked(self, key: str) -> bool:
        try:
            return self._keys.authenticate(key) is None
        except Unavailable:
            # Revoking a key needs the database too, so nothing can have changed meanwhile.
            return False
