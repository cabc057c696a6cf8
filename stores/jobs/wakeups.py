"""Wakeups: messages of which each lets one worker claim whichever job is next; none names a job.

Jobs are claimed from Redis in fair order, so the message queue only needs to hold as many messages as jobs may start.
"""

from schemas.messages import GENERATE
from stores.queue.messages import Queue
from stores.redis.scripts import Scripts
from stores.sites.recipes import Recipes, build_scheduling_rules

MAX_TOP_UP = 500


class Wakeups:
    """The wakeups of one queue."""

    def __init__(self, scripts: Scripts, queue: Queue, recipes: Recipes) -> None:
        """``recipes`` limit how many jobs of each site may start."""
        self._scripts = scripts
        self._queue = queue
        self._recipes = recipes

    def publish(self) -> None:
        """Send one wakeup.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._queue.send(GENERATE)

    def top_up(self) -> int:
        """Send the wakeups that are missing for the claimable jobs; return how many were sent.

        Two processes may both send a missing one: a surplus wakeup only costs an empty claim.
        """
        rules = build_scheduling_rules(self._recipes)
        claimable = int(self._scripts.run("count_claimable", {"sites": rules}))
        missing = max(0, claimable - self._queue.depth()) if claimable else 0
        missing = min(missing, MAX_TOP_UP)
        for _ in range(missing):
            self.publish()
        return missing
