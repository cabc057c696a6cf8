"""How much a caller has used and how much that caller may use."""

from dataclasses import dataclass
from typing import Any

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import UNLIMITED, Caller, Limits
from stores.accounts.quota_windows import resets_at
from stores.redis.keys import usage_key, week_key
from stores.redis.scripts import redis_errors

UNLIMITED_WORD = "Infinity"
LONGEST_COVER_S = 1800

# The kinds that clients of the Weights API know. Darkroom makes pictures; of everything else it can make none.
NOT_OFFERED = (
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
    "COVER_AUDIO_LENGTH_SECONDS": LONGEST_COVER_S,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a caller has used: unfinished jobs, running ones, pictures today and this week, and when these end."""

    queued: int
    running: int
    daily: int
    weekly: int
    resets_at: dict[str, int]


class Quotas:
    """Usage and limits by caller."""

    def __init__(self, client: Redis, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._usual = usual_limits(settings)

    def usage(self, owner: str) -> Usage:
        """How much a caller has used."""
        now = self._clock.now_ms()
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(f"dr:open:{owner}")
            pipe.scard(f"dr:running:{owner}")
            pipe.get(usage_key(owner, now))
            pipe.get(week_key(owner, now))
            queued, running, daily, weekly = (int(one or 0) for one in pipe.execute())
        return Usage(queued, running, daily, weekly, resets_at(now))

    def limits(self, caller: Caller) -> Limits:
        """How much a caller may use: by the key's own limits, else by the settings."""
        return caller.limits.or_else(self._usual)

    def read(self, caller: Caller) -> dict[str, Any]:
        """``usage``, ``limits`` and ``remaining`` by kind; ``resetAt`` (Unix milliseconds) of the windows."""
        now = self._clock.now_ms()
        used, own = self.usage(caller.id), self.limits(caller)
        kinds = {
            "QUEUED_IMAGE_JOBS": (used.queued, own.queued),
            "CONCURRENT_IMAGE_JOBS": (used.running, own.concurrent),
            "DAILY_IMAGE_CREATIONS": (used.daily, own.daily),
            "WEEKLY_IMAGE_CREATIONS": (used.weekly, own.weekly),
        } | dict.fromkeys(NOT_OFFERED, (0, 0))
        usage = {name: count for name, (count, _) in kinds.items()}
        limits = {name: _word(limit) for name, (_, limit) in kinds.items()}
        remaining = {name: _remaining(limit, count) for name, (count, limit) in kinds.items()}
        return {
            "isPremium": caller.plan is not None,
            "usage": usage,
            "limits": limits | STATIC_LIMITS,
            "remaining": remaining | STATIC_LIMITS,
            "resetAt": resets_at(now),
        }


def _word(limit: int | None) -> int | str:
    return UNLIMITED_WORD if limit is None or limit == UNLIMITED else limit


def _remaining(limit: int | None, used: int) -> int | str:
    return UNLIMITED_WORD if limit is None or limit == UNLIMITED else max(0, limit - used)


def usual_limits(settings: Settings) -> Limits:
    """The limits of a key that has none of its own."""
    return Limits(
        settings.limit_queued_images,
        settings.limit_concurrent_images,
        settings.limit_daily_images,
        settings.limit_weekly_images,
    )
