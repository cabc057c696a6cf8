"""Division of limits among several Redis servers, and of callers."""

from hypothesis import given
from hypothesis import strategies as st

from stores.shards.division import divide_by_need, divide_room, raise_within
from stores.shards.placement import Shards

NEEDS = st.lists(st.integers(0, 20), min_size=1, max_size=5).map(lambda needs: dict(enumerate(needs)))


@given(st.integers(0, 40), NEEDS)
def test_a_limit_is_divided_completely_and_by_need(limit: int, needs: dict[int, int]) -> None:
    """Nobody gets less than it needs while another has more than it needs."""
    parts = divide_by_need(limit, needs, list(needs))

    assert sum(parts.values()) == limit
    if any(parts[number] < needs[number] for number in needs):
        assert all(parts[number] <= needs[number] for number in needs)
        hungry = [parts[number] for number in needs if parts[number] < needs[number]]
        assert max(hungry) - min(hungry) <= 1


@given(st.integers(0, 40), NEEDS, NEEDS)
def test_parts_are_raised_within_the_limit(limit: int, used: dict[int, int], targets: dict[int, int]) -> None:
    """What is used and what is added are never more than the limit."""
    order = [number for number in used if number in targets]
    raised = raise_within(limit, used, targets, order)

    assert all(number >= 0 for number in raised.values())
    if any(raised.values()):
        assert sum(used.values()) + sum(raised.values()) <= limit


@given(st.integers(1, 60), NEEDS)
def test_room_for_new_jobs_is_divided_evenly(limit: int, open_jobs: dict[int, int]) -> None:
    """A second division changes nothing, and none takes away what is in use."""
    rooms = divide_room(limit, open_jobs, dict.fromkeys(open_jobs, 0)) or dict.fromkeys(open_jobs, 0)

    assert sum(rooms.values()) <= max(limit, sum(open_jobs.values()))
    assert all(rooms[number] >= open_jobs[number] for number in open_jobs) or sum(open_jobs.values()) > limit
    if sum(rooms.values()) <= limit:
        assert divide_room(limit, open_jobs, rooms) is None


def test_few_callers_move_when_a_server_is_added() -> None:
    """Only to the new server, and the order of the list makes no difference."""
    callers = [f"caller-{number}" for number in range(2000)]

    def homes(*names: str) -> dict[str, str]:
        shards = Shards(names, [], names)
        return {caller: names[shards.home(caller)] for caller in callers}

    before, after = homes("a:1/0", "b:1/0"), homes("c:1/0", "b:1/0", "a:1/0")
    moved = [caller for caller in callers if before[caller] != after[caller]]

    assert {after[caller] for caller in moved} == {"c:1/0"}
    assert 0.28 < len(moved) / len(callers) < 0.39
