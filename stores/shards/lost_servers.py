"""What servers may still use of shared limits that do not answer."""

from collections.abc import Callable, Mapping
from typing import Any

from schemas.sites.recipe import SiteLimits
from stores.shards.division import NO_PART
from stores.shards.looks import SentParts, ServerLook

# Longer than it takes another clock to get the lease of one that has died.
PART_TTL_S = 45.0
# For clocks that differ, and calls that take long.
MARGIN_S = 5.0
DAY_MS = 86_400_000


class LostServers:
    """What has been sent to each server, and may hold there. ``looks`` are those of the servers that answer."""

    def __init__(self, servers: int, deadline_s: float, monotonic: Callable[[], float]) -> None:
        """``deadline_s`` is the longest time that a job runs; ``monotonic`` returns seconds."""
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        # What another process has sent ends as late as what is sent now.
        self.sent = [SentParts(None, None, monotonic()) for _ in range(servers)]

    def count_jobs(self, name: str, limits: SiteLimits, looks: Mapping[int, Any]) -> int:
        """Return how many jobs of a site may run on servers that do not answer."""
        limit, total = limits.concurrency, 0
        for number, sent in enumerate(self.sent):
            if number in looks or self._monotonic() - sent.at_s > PART_TTL_S + self._deadline_s + MARGIN_S:
                continue
            known = None if sent.parts is None else sent.parts.get(name, NO_PART).permits
            total += limit if known is None else max(known, sent.running.get(name, 0))
        return min(total, limit)

    def may_have_turn(self, name: str, limits: SiteLimits, looks: Mapping[int, ServerLook]) -> bool:
        """Whether a server that does not answer may start jobs of a site still, or has started unknown ones today."""
        for number, sent in enumerate(self.sent):
            if number in looks or (sent.parts is not None and not sent.parts.get(name, NO_PART).starts):
                continue
            today = max(look.now_ms for look in looks.values()) // DAY_MS
            if self._monotonic() - sent.at_s <= PART_TTL_S + MARGIN_S or (limits.daily and sent.day == today):
                return True
        return False

    def count_room(self, limit: int, looks: Mapping[int, ServerLook]) -> int:
        """Return how many jobs may be open on servers that do not answer."""
        lost = [sent.room for number, sent in enumerate(self.sent) if number not in looks]
        if None not in lost:
            return sum(room or 0 for room in lost)
        # All parts together are never more than the limit. Without any part, none has been given yet.
        rooms = sum(look.room for look in looks.values())
        return limit - rooms if rooms else limit * len(lost) // len(self.sent)

    def delay_visit(
        self, name: str, limits: SiteLimits, looks: Mapping[int, ServerLook], last: dict[str, tuple[int, int]]
    ) -> None:
        """Let the interval of a site pass if a server that does not answer may have had the turn."""
        is_lost = any(
            number not in looks and (sent.parts is None or sent.parts.get(name, NO_PART).starts)
            for number, sent in enumerate(self.sent)
        )
        if is_lost and limits.min_interval_s:
            now_ms = max(look.now_ms for look in looks.values())
            known = last.get(name, (0, 0))
            last[name] = max(known[0], now_ms + round(1200 * limits.min_interval_s)), known[1]
