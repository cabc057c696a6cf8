"""Fixed-window rate limits: counted in Redis for all processes, or in this process only."""

from dataclasses import dataclass

from limits.storage import MemoryStorage, RedisStorage
from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings, SettingsError
from schemas.accounts.rate_limits import Rate, RateWindow
from stores.redis.errors import redis_errors
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
        self._clock = clock
        # Sends nothing yet, so Redis may be away. The URL is not used, because the pool is given.
        self._shared = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=RATE_PREFIX)
        self._local = MemoryStorage()

    def hit(self, policy: str, rate: Rate, subject: str) -> RateWindow:
        """Count one request of ``subject`` for all processes.

        Raises:
            Unavailable: Redis does not answer.
        """
        with redis_errors():
            return self._hit(self._shared, policy, rate, subject)

    def hit_local(self, policy: str, rate: Rate, subject: str) -> RateWindow:
        """Count one request of ``subject`` for this process only, without a round trip."""
        return self._hit(self._local, policy, rate, subject)

    def _hit(self, storage: RedisStorage | MemoryStorage, policy: str, rate: Rate, subject: str) -> RateWindow:
        now_ms = self._clock.now_ms()
        window = now_ms // 1000 // rate.window_s
        reset_at = (window + 1) * rate.window_s
        # With its number in the key a window ends by our clock, whatever the storage's expiry does.
        count = storage.incr(f"{policy}:{subject}:{window}", rate.window_s)
        return RateWindow(policy, rate, rate.limit - count, reset_at, -((now_ms - reset_at * 1000) // 1000))
