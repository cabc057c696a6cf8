"""The table of a job's states."""

from schemas.jobs.lifecycle import TRANSITIONS, JobState, can_transition


def test_every_state_has_a_row() -> None:
    """No state is left out of the table."""
    assert set(JobState) == set(TRANSITIONS)


def test_only_the_two_ends_are_final() -> None:
    """COMPLETED and FAILED have no way out, all others have one."""
    assert {JobState.COMPLETED, JobState.FAILED} == {state for state in JobState if state.is_final}


def test_every_state_can_be_reached_and_can_end() -> None:
    """From QUEUED every state can be reached, and from every open state FAILED can."""
    reached, front = {JobState.QUEUED}, [JobState.QUEUED]
    while front:
        following = TRANSITIONS[front.pop()] - reached
        reached |= following
        front.extend(following)

    assert set(JobState) == reached
    assert all(can_transition(state, JobState.FAILED) for state in JobState if not state.is_final)


def test_a_picture_comes_only_from_pending() -> None:
    """Nothing completes that a page has not accepted."""
    assert [state for state in JobState if can_transition(state, JobState.COMPLETED)] == [JobState.PENDING]
