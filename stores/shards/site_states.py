"""Keeps the circuits and the pauses of sites alike on several servers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from stores.shards.looks import ServerLook, SiteLook
from stores.shards.placement import Shards

Attempt = Callable[[int, Callable[[], None]], bool]


class SiteStates:
    """The circuits and pauses of all sites. ``attempt`` makes a call to a server and returns whether it answered."""

    def __init__(self, servers: Shards[Any], attempt: Attempt) -> None:
        self._servers = servers
        self._attempt = attempt
        # By site, the servers on which the circuit is known to have been open in the last round.
        self._known_open: dict[str, set[int]] = {}

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
        opened = {number: view for number, view in views.items() if view.is_open}
        known = self._known_open.pop(name, set())
        if known & (views.keys() - opened.keys()):
            # A job has succeeded there, or it was closed by hand.
            are_closed = [self._attempt(number, partial(self._breakers(number).close, name)) for number in opened]
            if not all(are_closed) or known - views.keys():
                # It is to be closed on the others once they answer.
                self._known_open[name] = known
        elif opened:
            newest = max(opened.values(), key=lambda view: int(view.circuit["retryAt"])).circuit
            for number, view in views.items():
                open_as = partial(self._breakers(number).open_as, name, newest)
                if view.circuit.get("retryAt") != newest["retryAt"] and self._attempt(number, open_as):
                    known.add(number)
            self._known_open[name] = known & views.keys() | opened.keys()

    def _breakers(self, number: int) -> Any:
        return self._servers.members[number].circuit_breakers
