"""Keeps the circuits and the pauses of sites alike on several servers."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stores.shards.looks import ServerLook, SiteLook
from stores.shards.placement import Shards

Attempt = Callable[[int, Callable[[], None]], bool]


@dataclass(slots=True)
class _Circuit:
    """The circuit of a site: on which servers it was open in the last round, and what others have to be told."""

    open: set[int] = field(default_factory=set)
    # Did not answer since it was open there.
    absent: set[int] = field(default_factory=set)
    # Have not been told yet that it was closed on another one.
    to_close: set[int] = field(default_factory=set)


class SiteStates:
    """The circuits and pauses of all sites. ``attempt`` makes a call to a server and returns whether it answered."""

    def __init__(self, servers: Shards[Any], attempt: Attempt) -> None:
        self._servers = servers
        self._attempt = attempt
        self._circuits: defaultdict[str, _Circuit] = defaultdict(_Circuit)

    def synchronise(self, looks: Mapping[int, ServerLook]) -> None:
        """Open and close circuits, and pause sites, on all servers as on the one where that has happened."""
        for name in next(iter(looks.values())).sites:
            views = {number: look.sites[name] for number, look in looks.items() if name in look.sites}
            self._synchronise_circuit(name, views)
            paused_until = max(view.paused_until for view in views.values())
            for number, view in views.items():
                left_ms = paused_until - looks[number].now_ms
                if left_ms > 0 and view.paused_until < paused_until - 1000:
                    self._attempt(number, partial(self._breakers(number).pause, name, left_ms))

    def _synchronise_circuit(self, name: str, views: Mapping[int, SiteLook]) -> None:
        circuit = self._circuits[name]
        opened = {number: view for number, view in views.items() if view.is_open}
        # One that comes back without a circuit may have lost it: that closes none.
        circuit.absent = (circuit.absent | circuit.open) - views.keys()
        if circuit.open & (views.keys() - opened.keys()):
            # A job has succeeded there, or it was closed by hand.
            circuit.to_close |= opened.keys() | circuit.absent
            circuit.absent = set()
        closed = {number for number in circuit.to_close & opened.keys() if self._close(number, name)}
        new = {number: view for number, view in opened.items() if number not in circuit.to_close}
        circuit.to_close -= closed | (views.keys() - opened.keys())
        circuit.open = self._open_alike(name, views, new) if new else set()

    def _open_alike(self, name: str, views: Mapping[int, SiteLook], opened: Mapping[int, SiteLook]) -> set[int]:
        """Open a circuit on all servers; return those on which it is open."""
        newest = max(opened.values(), key=lambda view: int(view.circuit["retryAt"])).circuit
        return {
            number
            for number, view in views.items()
            if view.circuit.get("retryAt") == newest["retryAt"]
            or self._attempt(number, partial(self._breakers(number).open_as, name, newest))
        }

    def _close(self, number: int, name: str) -> bool:
        return self._attempt(number, partial(self._breakers(number).close, name))

    def _breakers(self, number: int) -> Any:
        return self._servers.members[number].circuit_breakers
