"""A job's states and the arrows between them: the table that Lua, tests and docs are made from."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job is; the names are those on the wire."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    PENDING = "PENDING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        """Whether no arrow leads away from here."""
        return not TRANSITIONS[self]


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.FAILED}),
    JobState.STARTING: frozenset({JobState.PENDING, JobState.QUEUED, JobState.FAILED}),
    JobState.PENDING: frozenset({JobState.COMPLETED, JobState.QUEUED, JobState.FAILED}),
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
}


def can_transition(source: JobState, target: JobState) -> bool:
    """Whether a job may go from ``source`` to ``target`` in one step."""
    return target in TRANSITIONS[source]
