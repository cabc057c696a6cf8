"""Fixed-window rate limits: counted in Redis for all processes, or in this process only."""

import threading
from collections import Counter
from dataclasses import dataclass

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings, SettingsError
from schemas.accounts.rate_limits import Rate, RateWindow
from stores.redis.keys import RATE_PREFIX


@dataclass(frozen=True, slots=True)
class DefaultRates:
    """The rates of a key for submissions, all requests and status requests, and of an address without a key."""

    submit: Rate
    general: Rate
    status: Rate
    address: Rate


def parse_default_rates(settings: Settings) -> DefaultRates:
    """Parse the rates in the settings.

    Raises:
        SettingsError: one of them is not a rate.
    """
    texts = {
        "RATE_LIMIT_SUBMIT": settings.rate_limit_submit,
        "RATE_LIMIT": settings.rate_limit,
        "RATE_LIMIT_STATUS": settings.rate_limit_status,
        "RATE_LIMIT_ADDRESS": settings.rate_limit_address,
    }
    return DefaultRates(*(_parse(name, text) for name, text in texts.items()))


def _parse(name: str, text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}.") from error


class RateLimits:
    """The request counters of one Redis, and of this process."""

    def __init__(self, client: Redis, clock: Clock, defaults: DefaultRates) -> None:
        self.defaults = defaults
        self._redis = client
        self._clock = clock
        self._local = _LocalCounters()

    def hit(self, policy: str, rate: Rate, subject: str, number: int = 1) -> RateWindow:
        """Count ``number`` requests of ``subject`` for all processes.

        Raises:
            Unavailable: Redis does not answer.
        """
        now_ms = self._clock.now_ms()
        # The window's number is in the key, so it ends by our clock whenever Redis deletes the key.
        key = f"{RATE_PREFIX}:{policy}:{subject}:{_window_number(rate, now_ms)}"
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.incrby(key, number)
            pipe.expire(key, rate.window_s)
            count, _ = pipe.execute()
        return _window(policy, rate, now_ms, count)

    def hit_local(self, policy: str, rate: Rate, subject: str) -> RateWindow:
        """Count one request of ``subject`` for this process only, without a round trip."""
        now_ms = self._clock.now_ms()
        count = self._local.increment(policy, subject, _window_number(rate, now_ms))
        return _window(policy, rate, now_ms, count)

    def is_used_up_locally(self, policy: str, rate: Rate, subject: str) -> bool:
        """Whether ``hit_local`` would exceed the rate now; this counts nothing."""
        if rate.is_unlimited:
            return False
        return self._local.count(policy, subject, _window_number(rate, self._clock.now_ms())) >= rate.limit


class _LocalCounters:
    """Counters of the current window of each policy; those of earlier windows are dropped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, Counter[str]]] = {}

    def increment(self, policy: str, subject: str, window: int) -> int:
        """Count a request and return the number of requests in the window."""
        with self._lock:
            current, counts = self._windows.get(policy, (None, Counter()))
            if current != window:
                counts = Counter()
                self._windows[policy] = (window, counts)
            counts[subject] += 1
            return counts[subject]

    def count(self, policy: str, subject: str, window: int) -> int:
        """Return the number of requests in the window so far."""
        # Without the lock, because reading one entry of a dictionary is atomic.
        entry = self._windows.get(policy)
        return entry[1][subject] if entry is not None and entry[0] == window else 0


def _window_number(rate: Rate, now_ms: int) -> int:
    return now_ms // 1000 // rate.window_s


def _window(policy: str, rate: Rate, now_ms: int, count: int) -> RateWindow:
    reset_at = (_window_number(rate, now_ms) + 1) * rate.window_s
    # Rounded up, so that a client that waits for that time finds a new window.
    reset_s = -((now_ms - reset_at * 1000) // 1000)
    return RateWindow(policy, rate, rate.limit - count, reset_at, reset_s)
