"""How a limit is divided among servers: pure functions.

What a server uses of a limit is the larger of its part and what runs there. A part is lowered first, which never undoes
what has begun, and raised by no more than what the others leave: so the sum stays within the limit in every order of
events.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# More than any number of jobs: of a site that has no limit of its own.
UNLIMITED_JOBS = 1_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """A server's part of a site's limits: how many of its jobs may run, and whether any may start."""

    permits: int = 0
    starts: bool = False

    def lowered_to(self, other: "Part") -> "Part":
        """Return the part without what ``other`` does not have."""
        return Part(min(self.permits, other.permits), self.starts and other.starts)

    def raised_to(self, other: "Part") -> "Part":
        """Return the part with what ``other`` has in addition."""
        return Part(max(self.permits, other.permits), self.starts or other.starts)


NO_PART = Part()


def divide_by_need(limit: int, needs: Mapping[int, int], order: Sequence[int]) -> dict[int, int]:
    """Divide a limit among servers: first what they need, as evenly as possible, then the rest.

    ``order`` are all servers: the first ones get what cannot be divided.
    """
    parts, left = dict.fromkeys(order, 0), max(0, limit)
    hungry = [number for number in order if needs[number] > 0]
    while left and hungry:
        each = max(1, left // len(hungry))
        for number in tuple(hungry):
            given = min(each, needs[number] - parts[number], left)
            parts[number] += given
            left -= given
            if parts[number] >= needs[number]:
                hungry.remove(number)
    for position, number in enumerate(order):
        parts[number] += left // len(order) + (position < left % len(order))
    return parts


def raise_within(
    limit: int, used: Mapping[int, int], targets: Mapping[int, int], order: Iterable[int]
) -> dict[int, int]:
    """Return by how much the part of each server in ``order`` may be raised towards its target.

    ``used`` is what each server uses of the limit, also servers that are not in ``order``.
    """
    left = max(0, limit - sum(used.values()))
    raised = {}
    for number in order:
        raised[number] = min(left, max(0, targets[number] - used[number]))
        left -= raised[number]
    return raised


def divide_room(limit: int, open_jobs: Mapping[int, int], rooms: Mapping[int, int]) -> dict[int, int] | None:
    """Return how many jobs may be open on each server; None if that need not change.

    It changes when a server has less than half of the room for new jobs that it would have if that were divided evenly.
    """
    order = sorted(open_jobs)
    free = max(0, limit - sum(open_jobs.values()))
    even = free // len(order)
    is_uneven = any(2 * (rooms[number] - open_jobs[number]) < even for number in order)
    is_unused = sum(rooms.values()) < limit - even
    if sum(rooms.values()) <= limit and not is_uneven and not is_unused:
        return None
    return {number: open_jobs[number] + even + (position < free % len(order)) for position, number in enumerate(order)}


def max_parts(parts: Mapping[str, Part], others: Mapping[str, Part]) -> dict[str, Part]:
    """Return of each site what a server has that may have either of two sets of parts."""
    names = {*parts, *others}
    return {name: parts.get(name, NO_PART).raised_to(others.get(name, NO_PART)) for name in names}
