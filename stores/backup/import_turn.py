"""One import per caller at a time: an import may fill the disk with its archive, and lasts as long as its pictures."""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from redis import Redis

from schemas.errors import LimitReached, Unavailable
from stores.redis.keys import gallery_import_key

# Longer than one picture can take; a process that dies holds its turn until then.
TTL_S = 300
RETRY_AFTER_S = 30


class ImportTurn:
    """The turn of a caller, which lasts for as long as ``keep`` is called often."""

    def __init__(self, client: Redis, key: str, monotonic: Callable[[], float]) -> None:
        self._redis = client
        self._key = key
        self._monotonic = monotonic
        self._kept_at = monotonic()

    def keep(self) -> None:
        """Prolong the turn if it is time to."""
        if self._monotonic() - self._kept_at > TTL_S / 4:
            self._redis.expire(self._key, TTL_S)
            self._kept_at = self._monotonic()


@contextmanager
def take_import_turn(
    client: Redis, caller_id: str, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[ImportTurn]:
    """Hold the turn of a caller.

    Raises:
        LimitReached: another import of the caller has it.
    """
    key, value = gallery_import_key(caller_id), secrets.token_hex(16).encode()
    if not client.set(key, value, nx=True, ex=TTL_S):
        raise LimitReached("Another of your imports is running: wait until it has ended.", retry_after_s=RETRY_AFTER_S)
    try:
        yield ImportTurn(client, key, monotonic)
    finally:
        # A turn that ran out may be another import's by now. Without Redis, it runs out.
        with suppress(Unavailable):
            if client.get(key) == value:
                client.delete(key)
