"""A site's circuit on several Redis servers."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from stores.shards.looks import ServerLook, SiteLook
from stores.shards.placement import Shards
from stores.shards.site_states import SiteStates


class Circuits:
    """The circuits of three servers: ``retry_at`` has the numbers of those on which it is open."""

    def __init__(self) -> None:
        self.retry_at: dict[int, str] = {}
        self.away: set[int] = set()
        members = [
            SimpleNamespace(
                circuit_breakers=SimpleNamespace(
                    close=partial(self._close, number), open_as=partial(self._open, number)
                )
            )
            for number in range(3)
        ]
        servers: Shards[Any] = Shards("abc", [], members)
        self._states = SiteStates(servers, self._attempt)

    def _close(self, number: int, _site: str) -> None:
        self.retry_at.pop(number)

    def _open(self, number: int, _site: str, circuit: dict[str, str]) -> None:
        self.retry_at[number] = circuit["retryAt"]

    def _attempt(self, number: int, call: Any) -> bool:
        if number not in self.away:
            call()
        return number not in self.away

    def synchronise(self, *away: int) -> dict[int, str]:
        """Look at the servers that are not ``away``, and return on which the circuit is open afterwards."""
        looks = {}
        for number in {0, 1, 2} - set(away):
            circuit = {"retryAt": self.retry_at[number]} if number in self.retry_at else {}
            looks[number] = ServerLook(
                may_divide=True, open_jobs=0, room=1, now_ms=0, sites={"site": SiteLook(circuit=circuit)}
            )
        self._states.synchronise(looks)
        return self.retry_at


@pytest.fixture
def circuits() -> Circuits:
    """The circuits, all open for the same reason."""
    made = Circuits()
    made.retry_at = {0: "7"}
    assert made.synchronise() == {0: "7", 1: "7", 2: "7"}
    return made


@pytest.mark.parametrize("rounds_away", [0, 1])
def test_a_server_that_was_away_is_closed_late(circuits: Circuits, rounds_away: int) -> None:
    """Neither does its old circuit open the others, nor is a new one closed meanwhile."""
    for _ in range(rounds_away):
        circuits.synchronise(2)
    del circuits.retry_at[0]
    assert circuits.synchronise(2) == {2: "7"}
    circuits.retry_at[0] = "8"
    for _ in range(2):
        assert circuits.synchronise(2) == {0: "8", 1: "8", 2: "7"}
    del circuits.retry_at[0]
    circuits.synchronise(2)
    assert circuits.synchronise() == {}


def test_a_close_that_fails_is_sent_again(circuits: Circuits) -> None:
    """The circuit stays closed on the others."""
    del circuits.retry_at[0]
    circuits.away = {2}
    for _ in range(2):
        assert circuits.synchronise() == {2: "7"}
    circuits.away = set()
    assert circuits.synchronise() == {}


def test_a_server_without_its_data_closes_nothing(circuits: Circuits) -> None:
    """It gets the circuit of the others."""
    circuits.synchronise(2)
    del circuits.retry_at[2]
    assert circuits.synchronise() == {0: "7", 1: "7", 2: "7"}
