"""Quotas: usage and limits of callers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import NO_LIMITS, UNLIMITED, Caller, CallerLimits
from stores.accounts.quota_windows import DAY_MS, compute_reset_times
from stores.redis.keys import (
    WAITING_OWNERS,
    daily_usage_key,
    owner_open_jobs_key,
    owner_running_jobs_key,
    weekly_usage_key,
)
from stores.redis.scripts import Scripts

# JSON has no infinity; clients of the Weights API expect this word.
UNLIMITED_WORD = "Infinity"
MAX_COVER_AUDIO_S = 1800
# Shorter than the counters live (``endings.lua``).
USAGE_DAYS, USAGE_WEEKS = 30, 12

# Kinds that clients of the Weights API know and Darkroom does not offer.
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
    """A caller's usage: unfinished and running jobs, images of the present day and week.

    ``reset_times`` are those of ``compute_reset_times``.
    """

    queued: int
    running: int
    daily: int
    weekly: int
    reset_times: dict[str, int]


@dataclass(frozen=True, slots=True)
class UsageHistory:
    """A caller's images by day and by ISO week, the oldest first; the last ones are today and this week.

    ``days`` are (date, images), ``weeks`` (date of the Monday, images), dates as in ISO 8601. Failed jobs do not count.
    """

    days: list[tuple[str, int]]
    weeks: list[tuple[str, int]]


class Quotas:
    """The quotas in one Redis."""

    def __init__(self, client: Redis, scripts: Scripts, clock: Clock, settings: Settings) -> None:
        self._redis = client
        self._scripts = scripts
        self._clock = clock
        self._default_limits = default_limits(settings)

    def get_usage(self, owner: str) -> Usage:
        """Return a caller's usage."""
        now = self._clock.now_ms()
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(owner_open_jobs_key(owner))
            pipe.scard(owner_running_jobs_key(owner))
            pipe.get(daily_usage_key(owner, now))
            pipe.get(weekly_usage_key(owner, now))
            queued, running, daily, weekly = (int(count or 0) for count in pipe.execute())
        return Usage(queued, running, daily, weekly, compute_reset_times(now))

    def list_history(self, owners: Sequence[str]) -> dict[str, UsageHistory]:
        """Return the usage of each caller: the last USAGE_DAYS days and USAGE_WEEKS weeks."""
        now = self._clock.now_ms()
        monday = now - datetime.fromtimestamp(now / 1000, UTC).weekday() * DAY_MS
        days = [now - age * DAY_MS for age in reversed(range(USAGE_DAYS))]
        weeks = [monday - age * 7 * DAY_MS for age in reversed(range(USAGE_WEEKS))]
        with self._redis.pipeline(transaction=False) as pipe:
            for owner in owners:
                pipe.mget([daily_usage_key(owner, day) for day in days])
                pipe.mget([weekly_usage_key(owner, week) for week in weeks])
            rows = iter(pipe.execute())
        return {owner: UsageHistory(_dated(days, next(rows)), _dated(weeks, next(rows))) for owner in owners}

    def get_limits(self, caller: Caller) -> CallerLimits:
        """Return a caller's limits: those of the key, else those of the settings."""
        return caller.limits.with_defaults(self._default_limits)

    def limit_running(self, owner: str, limits: CallerLimits) -> None:
        """Apply changed limits to waiting jobs of a caller; each new job of the caller does the same.

        Raises:
            Unavailable: Redis does not answer.
        """
        concurrent = limits.with_defaults(self._default_limits).concurrent
        max_running = None if concurrent == UNLIMITED else concurrent
        self._scripts.run("limit_running", {"owner": owner, "max_running": max_running})

    def limit_running_by_default(self, own_limits: Mapping[str, CallerLimits]) -> None:
        """Let waiting jobs start under the limit of the settings, which may have changed since they were submitted.

        ``own_limits`` are those of the keys by their ids; keys with a number of their own are left alone.

        Raises:
            Unavailable: Redis does not answer.
        """
        waiting = cast(list[bytes], self._redis.zrange(WAITING_OWNERS, 0, -1))
        for owner in map(bytes.decode, waiting):
            limits = own_limits.get(owner, NO_LIMITS)
            if limits.concurrent is None:
                self.limit_running(owner, limits)

    def summarize(self, caller: Caller) -> dict[str, Any]:
        """Return ``usage``, ``limits`` and ``remaining`` by kind, with exactly the kinds of the Weights API.

        Clients post it as a chat message, which may have 2,000 characters.
        """
        usage, limits = self.get_usage(caller.id), self.get_limits(caller)
        kinds = {
            "QUEUED_IMAGE_JOBS": (usage.queued, limits.queued),
            "DAILY_IMAGE_CREATIONS": (usage.daily, limits.daily),
        } | dict.fromkeys(UNSUPPORTED_KINDS, (0, 0))
        return {
            "isPremium": caller.plan is not None,
            "usage": {kind: used for kind, (used, _) in kinds.items()},
            "limits": {kind: _finite(limit) for kind, (_, limit) in kinds.items()} | STATIC_LIMITS,
            "remaining": {kind: _finite(limit, used) for kind, (used, limit) in kinds.items()} | STATIC_LIMITS,
        }


def _dated(times_ms: Sequence[int], counts: Sequence[bytes | None]) -> list[tuple[str, int]]:
    dates = [f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}" for time_ms in times_ms]
    return [(date, int(count or 0)) for date, count in zip(dates, counts, strict=True)]


def _finite(limit: int | None, used: int = 0) -> int | str:
    return UNLIMITED_WORD if limit is None or limit == UNLIMITED else max(0, limit - used)


def default_limits(settings: Settings) -> CallerLimits:
    """Return the limits of a key that has none."""
    return CallerLimits(
        settings.limit_queued_images,
        settings.limit_concurrent_images,
        settings.limit_daily_images,
        settings.limit_weekly_images,
    )
