"""Which of several Redis servers may start the next job of a site."""

from stores.shards.looks import ServerLook, SiteLook
from stores.shards.site_turns import SiteTurns


def test_a_test_visit_keeps_the_turn() -> None:
    """While the circuit is open, no other server visits the site before the visit has ended."""
    turns = SiteTurns({0: 0.0, 1: 0.0})
    closed_for_now = {"retryAt": "1"}

    def choose(now_s: float, running: int) -> int:
        views = {
            0: SiteLook(running=running, waiting=1, circuit=closed_for_now),
            1: SiteLook(waiting=1, circuit=closed_for_now),
        }
        looks = {
            number: ServerLook(may_divide=True, open_jobs=1, room=1, now_ms=0, sites={"free": view})
            for number, view in views.items()
        }
        return turns.choose_holder(views, looks, now_s)

    assert choose(0.0, 0) == 0
    turns.use[0] += 1
    assert choose(30.0, 1) == 0
    assert choose(31.0, 0) == 1
