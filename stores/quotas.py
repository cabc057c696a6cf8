"""Owns how much a caller has used and how much that caller may use.

Read by ``api.quota``; the counters are changed by the scripts of ``stores.jobs`` together with the job.
"""

from typing import Any

from redis import Redis

from ops.clock import Clock
from ops.settings import UNLIMITED, Settings
from stores.records import usage_key
from stores.scripts import redis_errors

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


class Quotas:
    """Usage and limits by caller."""

    def __init__(self, client: Redis, clock: Clock, settings: Settings) -> None:
        """``client`` answers bytes."""
        self._redis = client
        self._clock = clock
        self._limits = {
            "QUEUED_IMAGE_JOBS": settings.limit_queued_images,
            "DAILY_IMAGE_CREATIONS": settings.limit_daily_images,
        }

    def read(self, owner: str) -> dict[str, Any]:
        """``usage``, ``limits`` and ``remaining`` by kind; ``resetAt`` (Unix milliseconds) of the windows."""
        now = self._clock.now_ms()
        with redis_errors(), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(f"dr:open:{owner}")
            pipe.get(usage_key(owner, now))
            open_jobs, today = pipe.execute()
        used = {"QUEUED_IMAGE_JOBS": int(open_jobs), "DAILY_IMAGE_CREATIONS": int(today or 0)}
        usage = used | dict.fromkeys(NOT_OFFERED, 0)
        limits = {name: _word(limit) for name, limit in self._limits.items()} | dict.fromkeys(NOT_OFFERED, 0)
        remaining = {name: _remaining(self._limits.get(name, 0), usage[name]) for name in usage}
        return {
            "isPremium": True,
            "usage": usage,
            "limits": limits | STATIC_LIMITS,
            "remaining": remaining | STATIC_LIMITS,
            "resetAt": _resets(now),
        }


def _word(limit: int) -> int | str:
    return UNLIMITED_WORD if limit == UNLIMITED else limit


def _remaining(limit: int, used: int) -> int | str:
    return UNLIMITED_WORD if limit == UNLIMITED else max(0, limit - used)


def _resets(now_ms: int) -> dict[str, int]:
    day_ms = 86_400_000
    days = now_ms // day_ms
    # 1 January 1970 was a Thursday: day 4 is the first Monday.
    monday = days + (4 - days) % 7 or 7
    return {"DAILY": (days + 1) * day_ms, "WEEKLY": (monday if monday > days else days + 7) * day_ms}
