"""Wakeups: messages that each let one worker claim the next job, without naming it.

Jobs are claimed from Redis in fair order, so the message queue only needs to hold as many messages as jobs may start.
"""

from schemas.messages import GENERATE
from stores.queue.messages import Queue
from stores.sites.scheduling_rules import SchedulingRules

MAX_TOP_UP = 500


class Wakeups:
    """The wakeups of one queue."""

    def __init__(self, rules: SchedulingRules, queue: Queue, database: int | None = None) -> None:
        """``rules`` limit how many jobs of each site may start.

        ``database`` is the number of the queue's database if it is on the server of the jobs.
        """
        self._database = database
        self._rules = rules
        self._queue = queue

    def publish(self) -> None:
        """Send one wakeup.

        Raises:
            Unavailable: Redis does not answer.
        """
        self._queue.send(GENERATE)

    def ticket(self) -> dict[str, str | int] | None:
        """Return a wakeup for ``Jobs.create``, which sends it together with the job; None if the queue is elsewhere."""
        return None if self._database is None else {"database": self._database, **self._queue.ticket(GENERATE)}

    def top_up(self) -> int:
        """Send the wakeups that are missing for the claimable jobs; return how many were sent.

        Two processes may both send a missing one: a surplus wakeup only costs an empty claim.
        """
        depth = self._queue.depth()
        claimable = self.count_claimable(enough=depth + MAX_TOP_UP)
        missing = min(max(0, claimable - depth), MAX_TOP_UP)
        for _ in range(missing):
            self.publish()
        return missing

    def count_claimable(self, enough: int | None = None) -> int:
        """Make due jobs claimable, and return how many may be claimed now; the count may stop at ``enough``."""
        return int(self._rules.run("count_claimable", {"enough": enough}))
