"""The counting of requests, in windows of time: in Redis for all processes, or in this one where that will do."""

from dataclasses import dataclass

from limits.storage import MemoryStorage, RedisStorage
from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings, SettingsError
from schemas.accounts.rate_limits import Rate, RateWindow
from stores.redis.errors import redis_errors

RATE_KEY_PREFIX = "dr:rate"


@dataclass(frozen=True, slots=True)
class DefaultRates:
    """How often a key may submit, ask for anything, and ask how a job is; and an address without a key do anything."""

    submit: Rate
    general: Rate
    status: Rate
    address: Rate


def parse_default_rates(settings: Settings) -> DefaultRates:
    """What the settings say.

    Raises:
        SettingsError: one of them is no rate.
    """
    words = {
        "RATE_LIMIT_SUBMIT": settings.rate_limit_submit,
        "RATE_LIMIT": settings.rate_limit,
        "RATE_LIMIT_STATUS": settings.rate_limit_status,
        "RATE_LIMIT_ADDRESS": settings.rate_limit_address,
    }
    return DefaultRates(*(_read(name, text) for name, text in words.items()))


def _read(name: str, text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise SettingsError(f"{name}: {error}.") from error


class RateLimits:
    """The counters of one Redis, and of this process."""

    def __init__(self, client: Redis, clock: Clock, defaults: DefaultRates) -> None:
        """Nothing is counted yet."""
        self.defaults = defaults
        self._clock = clock
        # It is not asked for anything while it is made, so Redis may be away.
        self._shared = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=RATE_KEY_PREFIX)
        self._own = MemoryStorage()

    def hit(self, policy: str, rate: Rate, subject: str) -> RateWindow:
        """Count one request of ``who`` for all processes.

        Raises:
            Unavailable: Redis does not answer.
        """
        with redis_errors():
            return self._take(self._shared, policy, rate, subject)

    def hit_local(self, policy: str, rate: Rate, subject: str) -> RateWindow:
        """Count one request of ``who`` for this process alone: it costs next to nothing."""
        return self._take(self._own, policy, rate, subject)

    def _take(self, storage: RedisStorage | MemoryStorage, policy: str, rate: Rate, who: str) -> RateWindow:
        now_ms = self._clock.now_ms()
        number = now_ms // 1000 // rate.window_s
        reset_at = (number + 1) * rate.window_s
        # By the number in its name a window ends by our clock, whatever the storage's thinks.
        count = storage.incr(f"{policy}:{who}:{number}", rate.window_s)
        return RateWindow(policy, rate, rate.limit - count, reset_at, -((now_ms - reset_at * 1000) // 1000))
