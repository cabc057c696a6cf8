"""Who is next of several servers that want to start jobs of one site."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from stores.shards.looks import ServerLook, SiteLook

# The turn of a server lasts so long at least, so that two that wait do not pass it to each other all the time.
TURN_S = 1.0
WANTED_MS = 6_000


@dataclass(slots=True)
class SiteTurns:
    """Who uses a site how much, which decides who is next; ``holder`` has the turn since ``since_s``."""

    use: dict[int, float]
    holder: int | None = None
    since_s: float = 0.0
    ordered_at_s: float = float("-inf")
    order: list[int] = field(default_factory=list)
    seen: tuple[int, int] = (0, 0)

    def order_by_use(self, views: Mapping[int, SiteLook], now_s: float) -> list[int]:
        """Return the servers with the one first that has used the site the least of late."""
        for number, view in views.items():
            self.use[number] = 0.98 * self.use[number] + view.running
        if now_s - self.ordered_at_s >= TURN_S:
            self.order = sorted(self.use, key=self.use.__getitem__)
            self.ordered_at_s = now_s
        return [number for number in self.order if number in views]

    def choose_holder(self, views: Mapping[int, SiteLook], looks: Mapping[int, ServerLook], now_s: float) -> int:
        """Return the server that may start jobs: of those that want to, the one that has started the fewest."""
        holder = self.holder
        if holder is None:
            holder = next((number for number, view in views.items() if view.part.starts), None)
        if holder is not None and holder in views:
            seen = views[holder].next_at, views[holder].started
            has_started = self.holder == holder and seen != self.seen
            self.use[holder] += 1.0 if has_started else 0.001
            self.seen = seen
        for number in self.use:
            self.use[number] *= 0.999
        wanting = [
            number
            for number, view in views.items()
            if view.waiting or looks[number].now_ms - view.wanted_at < WANTED_MS
        ]
        is_kept = holder in wanting and now_s - self.since_s < TURN_S and self.holder == holder
        # A test visit is the only one until it has shown whether the site works.
        is_tested = holder is not None and holder in views and views[holder].is_open and views[holder].running > 0
        if not (is_kept or is_tested) and wanting:
            holder = min(wanting, key=self.use.__getitem__)
        if holder is None or holder not in views:
            holder = min(views)
        if holder != self.holder:
            self.holder, self.since_s = holder, now_s
            self.seen = views[holder].next_at, views[holder].started
        return holder
