"""The state table of jobs."""

from schemas.jobs.lifecycle import TRANSITIONS, JobState, can_transition


def test_every_state_is_in_the_table() -> None:
    """The table has exactly one row for each state."""
    assert set(JobState) == set(TRANSITIONS)


def test_only_completed_and_failed_are_final() -> None:
    """Every other state has a transition."""
    assert {JobState.COMPLETED, JobState.FAILED} == {state for state in JobState if state.is_final}


def test_every_state_is_reachable_and_can_fail() -> None:
    """QUEUED leads to every state, and every state that is not final leads to FAILED."""
    reached, pending = {JobState.QUEUED}, [JobState.QUEUED]
    while pending:
        targets = TRANSITIONS[pending.pop()] - reached
        reached |= targets
        pending.extend(targets)

    assert set(JobState) == reached
    assert all(can_transition(state, JobState.FAILED) for state in JobState if not state.is_final)


def test_only_a_pending_job_can_complete() -> None:
    """A job that no page has accepted cannot complete."""
    assert [state for state in JobState if can_transition(state, JobState.COMPLETED)] == [JobState.PENDING]
