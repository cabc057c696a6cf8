"""Revocation during long responses: streams and long polls end when their API key or session does."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.errors import Unavailable
from stores.accounts.api_keys import ApiKeys
from stores.accounts.sessions import Sessions
from stores.redis.pubsub import ChangeSignal

# In addition to the time for which ApiKeys caches an answer.
POLL_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Credential:
    """The credential of a request: an API key or the token of a session.

    With neither, the caller is the anonymous one, whose access is not revoked.
    """

    key: str = field(default="", repr=False)
    session: str = field(default="", repr=False)


class RevocationWatcher:
    """Checks each credential that is in use once per interval, however many responses depend on it.

    The polling thread runs while at least one credential is watched.
    """

    def __init__(self, keys: ApiKeys, sessions: Sessions) -> None:
        self._keys = keys
        self._sessions = sessions
        self._lock = threading.Lock()
        self._signals: defaultdict[Credential, set[ChangeSignal]] = defaultdict(set)
        self._is_polling = False
        self._pause = threading.Event()

    @contextmanager
    def watch(self, credential: Credential, signal: ChangeSignal) -> Iterator[None]:
        """Notify ``signal``, with ``revoked`` set, when the credential becomes invalid while the block runs."""
        with self._lock:
            self._signals[credential].add(signal)
            if not self._is_polling:
                self._is_polling = True
                threading.Thread(target=self._run, name="key-revocation", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._signals[credential].discard(signal)
                if not self._signals[credential]:
                    del self._signals[credential]

    def _run(self) -> None:
        while signals := self._snapshot():
            for credential, waiting in signals.items():
                if self._is_revoked(credential):
                    for signal in waiting:
                        signal.revoked = True
                        signal.notify()
            self._pause.wait(POLL_INTERVAL_S)

    def _snapshot(self) -> dict[Credential, list[ChangeSignal]]:
        """Return the signals by credential; without any the thread ends, which ``watch`` must see under the lock."""
        with self._lock:
            self._is_polling = bool(self._signals)
            return {credential: list(signals) for credential, signals in self._signals.items()}

    def _is_revoked(self, credential: Credential) -> bool:
        try:
            if credential.key:
                return self._keys.authenticate(credential.key) is None
            return bool(credential.session) and not self._sessions.is_valid(credential.session)
        except Unavailable:
            # Revoking needs the database or Redis too, so nothing can have changed meanwhile.
            return False
