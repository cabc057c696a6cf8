"""The states of a job and the transitions between them.

This table is the only definition: the Lua scripts get a copy of it, and a test compares it with the diagram in
``docs/lifecycle.md``.
"""

from enum import StrEnum


class JobState(StrEnum):
    """The state of a job, as it appears on the wire."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether no transition leads out of this state."""
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.FAILED}),
    JobState.STARTING: frozenset({JobState.PENDING, JobState.QUEUED, JobState.FAILED}),
    JobState.PENDING: frozenset({JobState.COMPLETED, JobState.QUEUED, JobState.FAILED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
}


def can_transition(source: JobState, target: JobState) -> bool:
    """Return whether a job may go from ``source`` to ``target`` in one step."""
    return target in TRANSITIONS[source]
