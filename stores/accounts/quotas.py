"""How much a caller has used and how much that caller may use."""

from dataclasses import dataclass
from typing import Any

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import UNLIMITED, Caller, CallerLimits
from stores.accounts.quota_windows import compute_reset_times
from stores.redis.errors import redis_errors
from stores.redis.keys import daily_usage_key, weekly_usage_key

UNLIMITED_WORD = "Infinity"
MAX_COVER_AUDIO_S = 1800

# The kinds that clients of the Weights API know. Darkroom makes pictures; of everything else it can make none.
UNSUPPORTED_KINDS = (
    "QUEUED_COVER_JOBS",
    "QUEUED_SONG_JOBS",
    "QUEUED_VIDEO_JOBS",
    "QUEUED_VOICE_TRAINING_JOBS",
    "QUEUED_IMAGE_TRAINING_JOBS",
    "QUEUED_VIDEO_TRAINING_JOBS",
    "DAILY_COVER_CREATIONS",
    "DAILY_VIDEO_CREATIONS",
    "DAILY_IMAGE_EDITS",
    "DAILY_SONG_CREATIONS",
    "DAILY_FAST_IMAGE_TRAINING_JOBS",
    "WEEKLY_IMAGE_TRAINING_JOBS",
    "WEEKLY_VOICE_TRAINING_JOBS",
    "WEEKLY_VIDEO_TRAINING_JOBS",
    "VOYAGES_DAILY_IMAGE_CREATIONS",
    "VOYAGES_WEEKLY_IMAGE_TRAINING_JOBS",
)
STATIC_LIMITS = {
    "CHAT_CONVERSATIONS": UNLIMITED_WORD,
    "CHAT_MESSAGES": UNLIMITED_WORD,
    "COVER_AUDIO_LENGTH_SECONDS": MAX_COVER_AUDIO_S,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller has used: unfinished jobs, running ones, pictures today and this week, and when these end."""

    queued: int
    running: int
    daily: int
    weekly: int
    reset_times: dict[str, int]


class Quotas:
    """Usage and limits by caller."""

    def __init__(self, client: Redis, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._usual = default_limits(settings)

    def get_usage(self, owner: str) -> Usage:
        """How much a caller has used."""
        now = self._clock.now_ms()
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(f"dr:open:{owner}")
            pipe.scard(f"dr:running:{owner}")
            pipe.get(daily_usage_key(owner, now))
            pipe.get(weekly_usage_key(owner, now))
            queued, running, daily, weekly = (int(one or 0) for one in pipe.execute())
        return Usage(queued, running, daily, weekly, compute_reset_times(now))

    def get_limits(self, caller: Caller) -> CallerLimits:
        """How much a caller may use: by the key's own limits, else by the settings."""
        return caller.limits.with_defaults(self._usual)

    def summarize(self, caller: Caller) -> dict[str, Any]:
        """``usage``, ``limits`` and ``remaining`` by kind; ``resetAt`` (Unix milliseconds) of the windows."""
        now = self._clock.now_ms()
        used, own = self.get_usage(caller.id), self.get_limits(caller)
        kinds = {
            "QUEUED_IMAGE_JOBS": (used.queued, own.queued),
            "CONCURRENT_IMAGE_JOBS": (used.running, own.concurrent),
            "DAILY_IMAGE_CREATIONS": (used.daily, own.daily),
            "WEEKLY_IMAGE_CREATIONS": (used.weekly, own.weekly),
        } | dict.fromkeys(UNSUPPORTED_KINDS, (0, 0))
        usage = {name: count for name, (count, _) in kinds.items()}
        limits = {name: _word(limit) for name, (_, limit) in kinds.items()}
        remaining = {name: _remaining(limit, count) for name, (count, limit) in kinds.items()}
        return {
            "isPremium": caller.plan is not None,
            "usage": usage,
            "limits": limits | STATIC_LIMITS,
            "remaining": remaining | STATIC_LIMITS,
            "resetAt": compute_reset_times(now),
        }


def _word(limit: int | None) -> int | str:
    return UNLIMITED_WORD if limit is None or limit == UNLIMITED else limit


def _remaining(limit: int | None, used: int) -> int | str:
    return UNLIMITED_WORD if limit is None or limit == UNLIMITED else max(0, limit - used)


def default_limits(settings: Settings) -> CallerLimits:
    """The limits of a key that has none of its own."""
    return CallerLimits(
        settings.limit_queued_images,
        settings.limit_concurrent_images,
        settings.limit_daily_images,
        settings.limit_weekly_images,
    )
