"""The tickets that bring workers to jobs: a ticket names no job, it lets one worker claim whichever comes next.

Offered by ``api.jobs.submission``; refilled by ``workers.clock.sweeper``, and by ``workers.jobs.runner`` when a site
has room again.
"""

from ops.infra.clock import Clock
from schemas.messages import GENERATE
from stores.queue.messages import Queue
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes, build_scheduling_rules

MAX_TOP_UP = 500


class Wakeups:
    """The tickets of one queue."""

    def __init__(self, scripts: Scripts, clock: Clock, queue: Queue, recipes: Recipes) -> None:
        """``recipes`` say how many jobs each site takes."""
        self._scripts = scripts
        self._clock = clock
        self._queue = queue
        self._recipes = recipes

    def publish(self) -> None:
        """Send one.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._queue.send(GENERATE)

    def top_up(self) -> int:
        """Send as many tickets as jobs may be claimed and none is there for; how many were sent.

        One too many costs an empty claim, so nothing keeps two processes from sending it.
        """
        claimable = int(self._scripts.run("refill", self._clock.now_ms(), *build_scheduling_rules(self._recipes)))
        missing = max(0, claimable - self._queue.depth()) if claimable else 0
        missing = min(missing, MAX_TOP_UP)
        for _ in range(missing):
            self.publish()
        return missing
