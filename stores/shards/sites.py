"""What is known of sites, on several servers."""

from ops.infra.clock import Clock
from schemas.errors import Unavailable
from stores.redis.client import StoreClient
from stores.redis.scripts import Scripts
from stores.shards.placement import Shards
from stores.sites.canaries import CANARY_OWNER, Canaries, CanaryOutcome
from stores.sites.circuit_breakers import CircuitBreakers
from stores.sites.selector_drift import MAX_CHANGES, SelectorChange, SelectorDrift


class RoutedCircuitBreakers(CircuitBreakers):
    """The circuit breakers of one server, which the clock keeps like those of the others."""

    def __init__(self, client: StoreClient, scripts: Scripts, breakers: Shards[CircuitBreakers]) -> None:
        super().__init__(client, scripts, is_shared=True)
        self._breakers = breakers
        self._number = breakers.clients.index(client)

    def close(self, site: str) -> None:
        """Close the circuit on every server that answers."""
        self._breakers.try_each(lambda breakers: breakers.close(site))

    def pause(self, site: str, pause_ms: int) -> None:
        """Let no job of the site start for a while, on this server and every other one that answers."""
        self._breakers.try_each(lambda breakers: breakers.pause(site, pause_ms), home=self._number)


class RoutedCanaries(Canaries):
    """The canaries, which are jobs of one caller and therefore on one server."""

    def __init__(self, client: StoreClient, clock: Clock, canaries: Shards[Canaries]) -> None:
        super().__init__(client, clock)
        self._canaries = canaries

    def read_outcomes(self, sites: list[str]) -> dict[str, CanaryOutcome | None]:
        """Return the outcome of each site's last canary; None if it has had none, or its server does not answer."""
        try:
            return self._canaries.of(CANARY_OWNER).read_outcomes(sites)
        except Unavailable:
            return dict.fromkeys(sites)


class JoinedSelectorDrift(SelectorDrift):
    """The selector matches of the jobs of all servers that answer."""

    def __init__(self, client: StoreClient, clock: Clock, drifts: Shards[SelectorDrift]) -> None:
        super().__init__(client, clock)
        self._drifts = drifts

    def list_changes(self, site: str) -> list[SelectorChange]:
        """Return the last changes of a site, the newest first."""
        found = self._drifts.try_each(lambda drift: drift.list_changes(site))
        return sorted((each for part in found for each in part), key=lambda each: each.at, reverse=True)[:MAX_CHANGES]

    def get_matches(self, site: str) -> dict[str, str]:
        """Return the alternative that matched last, by the selector's first alternative."""
        found = self._drifts.try_each(lambda drift: SelectorDrift.get_matches(drift, site))
        return {first: matched for part in found for first, matched in part.items()}
