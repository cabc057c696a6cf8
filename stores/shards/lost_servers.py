"""What servers may still use of shared limits that do not answer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from schemas.sites.recipe import SiteLimits
from stores.shards.division import NO_PART, Part
from stores.shards.looks import SentParts, ServerLook, SiteLook

# Longer than it takes another clock to get the lease of one that has died.
PART_TTL_S = 45.0
# For clocks that differ, and calls that take long.
MARGIN_S = 5.0
DAY_MS = 86_400_000

log = structlog.get_logger(__name__)


class LostServers:
    """What has been sent to each server, and may hold there. ``looks`` are those of the servers that answer."""

    def __init__(self, servers: int, deadline_s: float, monotonic: Callable[[], float]) -> None:
        """``deadline_s`` is the longest time that a job runs; ``monotonic`` returns seconds."""
        self._deadline_s = deadline_s
        self._monotonic = monotonic
        # What another process has sent ends as late as what is sent now.
        self.sent = [SentParts(None, None, monotonic()) for _ in range(servers)]

    def record(self, number: int, parts: Mapping[str, Part], room: int, running: dict[str, int]) -> None:
        """Record what a server that answers has: ``parts``, unless others were sent, room and running jobs."""
        sent = self.sent[number]
        sent.parts, sent.room, sent.running = sent.parts or dict(parts), room, running

    def conclude(self, limits: Mapping[str, SiteLimits], looks: Mapping[int, ServerLook]) -> None:
        """Find out what servers may have that have not answered since this process divides.

        All parts together are never more than a limit, so these have no more than the others leave.
        """
        for number in looks:
            if self.sent[number].is_concluded:
                self.sent[number].parts, self.sent[number].is_concluded = None, False
        unknown = [sent for number, sent in enumerate(self.sent) if number not in looks and sent.parts is None]
        if not unknown:
            return
        views = {name: [look.sites[name] for look in looks.values() if name in look.sites] for name in limits}
        was_divided = any(view.part != NO_PART for each in views.values() for view in each)
        parts = {name: _leave(limits[name], views[name]) for name in limits}
        for sent in unknown:
            sent.parts, sent.is_concluded = dict(parts), True
            sent.day = max(look.now_ms for look in looks.values()) // DAY_MS if was_divided else 0
        stopped = [
            name
            for name, part in parts.items()
            if 0 < limits[name].concurrency <= part.permits or (_is_by_turns(limits[name]) and part.starts)
        ]
        if stopped:
            log.warning("allotments.sites_wait", sites=stopped, at_most_s=round(self._longest_s))

    @property
    def _longest_s(self) -> float:
        return PART_TTL_S + self._deadline_s + MARGIN_S

    def count_jobs(self, name: str, limits: SiteLimits, looks: Mapping[int, Any]) -> int:
        """Return how many jobs of a site may run on servers that do not answer."""
        total, concluded = 0, 0
        for number, sent in enumerate(self.sent):
            if number in looks or self._monotonic() - sent.at_s > self._longest_s:
                continue
            known = limits.concurrency if sent.parts is None else sent.parts.get(name, NO_PART).permits
            if sent.is_concluded:
                # Of all these servers together.
                concluded = max(concluded, known)
            else:
                total += max(known, sent.running.get(name, 0))
        return min(total + concluded, limits.concurrency)

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


def _leave(limits: SiteLimits, views: Sequence[SiteLook]) -> Part:
    """Return the most that servers which do not answer may have of a site."""
    used = sum(max(view.part.permits, view.running) for view in views)
    # Without any part none has been given yet, or all have ended; with more than the limit, that was another one.
    permits = limits.concurrency - used if 0 < used <= limits.concurrency else limits.concurrency
    return Part(permits, starts=not (_is_by_turns(limits) and any(view.part.starts for view in views)))


def _is_by_turns(limits: SiteLimits) -> bool:
    """Whether one server at a time may start jobs of a site, also while its circuit is closed."""
    return limits.min_interval_s > 0 or limits.daily > 0
