"""The stores of one server, replaced where they must know of the other servers."""

from collections.abc import Callable
from typing import Any

from ops.infra.clock import Clock
from stores.accounts.key_revocation import RevocationWatcher
from stores.compat.request_groups import RequestGroups
from stores.jobs.input_images import InputImages
from stores.jobs.job_ids import JobIds
from stores.jobs.shared.shared_reads import SharedReads
from stores.redis.scripts import Scripts
from stores.redis.server_clock import RedisClock
from stores.shards.accounts import RoutedQuotas, RoutedRateLimits, RoutedSessions, RoutedSignInLinks
from stores.shards.events import RoutedGalleryEvents, RoutedOutbox, RoutedScanRequests
from stores.shards.jobs import JobPlaces, RoutedJobs, RoutedJobSearch
from stores.shards.placement import Shards
from stores.shards.results import (
    JoinedMetrics,
    JoinedMetricsHistory,
    RoutedEventLog,
    RoutedJobCopies,
    RoutedResults,
)
from stores.shards.sites import JoinedSelectorDrift, RoutedCanaries, RoutedCircuitBreakers


class RoutedStores:
    """Makes the replacements for each server. ``own`` are the stores (``stores.Stores``) of each server alone."""

    def __init__(self, own: Shards[Any], ids: list[JobIds], scripts: list[Scripts]) -> None:
        self._own = own
        self._ids = ids
        self._scripts = scripts
        self._places = JobPlaces(self._each(lambda stores: stores.jobs), ids[0])

    def _each(self, get: Callable[[Any], Any]) -> Shards[Any]:
        return self._own.of_each([get(stores) for stores in self._own.members])

    def fields(self, number: int) -> dict[str, Any]:
        """Return the stores that replace those of one server, by field."""
        return {
            "clock": shared_clock([each.clock for each in self._own.members]),
            **self._jobs(number),
            **self._accounts(number),
            **self._sites(number),
            **self._events(number),
        }

    def _jobs(self, number: int) -> dict[str, Any]:
        own, client = self._own.members[number], self._own.clients[number]
        clock, settings, scripts = own.clock, own.settings, self._scripts[number]
        jobs = RoutedJobs(client, scripts, clock, settings, self._ids[number], places=self._places)
        results = RoutedResults(client, own.stored_results, self._each(lambda stores: stores.results), self._places)
        copies = self._each(lambda stores: stores.job_copies)
        return {
            "jobs": jobs,
            "results": results,
            "event_log": RoutedEventLog(client, self._each(lambda stores: stores.event_log), self._places),
            "job_copies": RoutedJobCopies(own.jobs, own.notifier, clock, copies, self._places),
            "job_search": RoutedJobSearch(client, jobs, self._each(lambda stores: stores.job_search)),
            "request_groups": RequestGroups(client, clock, jobs),
            "shared_reads": SharedReads(jobs),
            "input_images": InputImages(
                client,
                clock,
                media=own.media,
                inspections=own.image_inspections,
                jobs=jobs,
                results=results,
                records=self._own.clients,
            ),
            "metrics": JoinedMetrics(client, clock, self._each(lambda stores: stores.metrics)),
            "metrics_history": JoinedMetricsHistory(client, clock, self._each(lambda stores: stores.metrics_history)),
        }

    def _accounts(self, number: int) -> dict[str, Any]:
        own, client, scripts = self._own.members[number], self._own.clients[number], self._scripts[number]
        sessions = RoutedSessions(client, own.clock, own.api_keys, self._each(lambda stores: stores.sessions))
        limits = self._each(lambda stores: stores.rate_limits)
        return {
            "quotas": RoutedQuotas(client, scripts, own.clock, own.settings, self._each(lambda stores: stores.quotas)),
            "rate_limits": RoutedRateLimits(client, own.clock, own.rate_limits.defaults, limits),
            "sign_in_links": RoutedSignInLinks(client, own.api_keys, self._each(lambda stores: stores.sign_in_links)),
            "sessions": sessions,
            "key_revocation": RevocationWatcher(own.api_keys, sessions),
        }

    def _sites(self, number: int) -> dict[str, Any]:
        client, clock = self._own.clients[number], self._own.members[number].clock
        breakers = self._each(lambda stores: stores.circuit_breakers)
        return {
            "circuit_breakers": RoutedCircuitBreakers(client, self._scripts[number], breakers),
            "canaries": RoutedCanaries(client, clock, self._each(lambda stores: stores.canaries)),
            "selector_drift": JoinedSelectorDrift(client, clock, self._each(lambda stores: stores.selector_drift)),
        }

    def _events(self, number: int) -> dict[str, Any]:
        own, client = self._own.members[number], self._own.clients[number]
        url, clients = own.settings.public_url, self._own.of_each(self._own.clients)
        outboxes = self._each(lambda stores: stores.outbox)
        return {
            "scan_requests": RoutedScanRequests(client, own.clock, self._each(lambda stores: stores.scan_requests)),
            "outbox": RoutedOutbox(client, own.clock, own.subscriptions, own.deliveries, url, outboxes=outboxes),
            "gallery_events": RoutedGalleryEvents(clients, own.engine, own.subscriptions, own.deliveries, url),
        }


class FirstClock:
    """The time of the first server that has told it; that of one which answers, until then."""

    def __init__(self, clocks: list[RedisClock]) -> None:
        self._clocks = clocks

    def now_ms(self) -> int:
        """Return the Unix time in milliseconds."""
        known = next((clock for clock in self._clocks if clock.offset_ms is not None), None)
        if known is not None:
            return known.now_ms()
        now_ms = 0
        for clock in self._clocks:
            now_ms = clock.now_ms()
            if clock.offset_ms is not None:
                break
        return now_ms


def shared_clock(clocks: list[Clock]) -> Clock:
    """Return the clock of what all servers share, such as SQL."""
    redis_clocks = [clock for clock in clocks if isinstance(clock, RedisClock)]
    return FirstClock(redis_clocks) if len(redis_clocks) > 1 else clocks[0]
