"""What is kept of callers, on several servers: usage, request counters, sessions."""

import contextlib
import secrets
from collections.abc import Sequence

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.accounts.caller import CallerLimits
from schemas.accounts.rate_limits import Rate, RateWindow
from schemas.errors import NotFound
from stores.accounts.api_keys import ApiKeys
from stores.accounts.quotas import Quotas, Usage, UsageHistory
from stores.accounts.rate_limits import DefaultRates, RateLimits
from stores.accounts.sessions import TOKEN_BYTES, Session, Sessions
from stores.accounts.sign_in_links import SignInLink, SignInLinks
from stores.redis.client import StoreClient
from stores.redis.scripts import Scripts
from stores.shards.placement import Shards


class RoutedQuotas(Quotas):
    """The usage of each caller, on the caller's server."""

    def __init__(
        self, client: StoreClient, scripts: Scripts, clock: Clock, settings: Settings, quotas: Shards[Quotas]
    ) -> None:
        super().__init__(client, scripts, clock, settings)
        self._quotas = quotas

    def get_usage(self, owner: str) -> Usage:
        """Return a caller's usage."""
        return self._quotas.of(owner).get_usage(owner)

    def list_history(self, owners: Sequence[str]) -> dict[str, UsageHistory]:
        """Return the usage of each caller, as ``Quotas`` does."""
        by_number: dict[int, list[str]] = {}
        for owner in owners:
            by_number.setdefault(self._quotas.home(owner), []).append(owner)
        found: dict[str, UsageHistory] = {}
        for number, some in by_number.items():
            found |= self._quotas.members[number].list_history(some)
        return {owner: found[owner] for owner in owners}

    def limit_running(self, owner: str, limits: CallerLimits) -> None:
        """Let waiting jobs of a caller start under limits that have changed."""
        self._quotas.try_each(lambda quotas: quotas.limit_running(owner, limits), subject=owner)


class RoutedRateLimits(RateLimits):
    """Counters of each caller or address on its server; while that is down, on another one."""

    def __init__(self, client: StoreClient, clock: Clock, defaults: DefaultRates, limits: Shards[RateLimits]) -> None:
        super().__init__(client, clock, defaults)
        self._limits = limits
        # A process counts a caller's requests once, whichever server they lead to.
        self._local = limits.members[0]._local  # noqa: SLF001 - of the same class

    def hit(self, policy: str, rate: Rate, subject: str, number: int = 1) -> RateWindow:
        """Count requests for all processes, as ``RateLimits`` does."""
        return self._limits.try_in_turn(subject, lambda limits: limits.hit(policy, rate, subject, number))


class RoutedSessions(Sessions):
    """Sessions on the servers of their callers, which their tokens name."""

    def __init__(self, client: StoreClient, clock: Clock, keys: ApiKeys, sessions: Shards[Sessions]) -> None:
        super().__init__(client, clock, keys)
        self._sessions = sessions

    def create_for_version(self, caller_id: str, key_version: str, token: str | None = None) -> str:
        """Return the token of a new session, as ``Sessions`` does."""
        home = self._sessions.home(caller_id)
        token = token or secrets.token_urlsafe(TOKEN_BYTES)
        # A token belongs to the server that its hash names, so that it can be looked up without knowing the caller.
        while self._sessions.home(token) != home:
            token = secrets.token_urlsafe(TOKEN_BYTES)
        return self._sessions.members[home].create_for_version(caller_id, key_version, token)

    def get(self, token: str) -> Session | None:
        """Return the session of a token, renewing it; None if the token is invalid or its session has ended."""
        if session := self._sessions.of(token).get(token):
            return session
        # Elsewhere if a server was added since.
        return next(filter(None, self._sessions.try_each(lambda each: each.get(token), subject=token)), None)

    def is_valid(self, token: str) -> bool:
        """Whether ``get`` would return a session; this renews nothing."""
        return self._sessions.of(token).is_valid(token) or any(
            self._sessions.try_each(lambda each: each.is_valid(token), subject=token)
        )

    def end(self, token: str) -> None:
        """End the session of a token, if there is one."""
        self._sessions.try_each(lambda each: each.end(token), subject=token)

    def end_all(self, caller_id: str) -> None:
        """End all sessions of a caller."""
        self._sessions.try_each(lambda each: each.end_all(caller_id), subject=caller_id)


class RoutedSignInLinks(SignInLinks):
    """Links on whichever server answered when they were made."""

    def __init__(self, client: StoreClient, keys: ApiKeys, links: Shards[SignInLinks]) -> None:
        super().__init__(client, keys)
        self._links = links

    def use(self, token: str, host: str, *, is_local: bool) -> SignInLink:
        """Return a link and delete it, as ``SignInLinks`` does."""
        missing: list[NotFound] = []

        def look(links: SignInLinks) -> SignInLink | None:
            try:
                return links.use(token, host, is_local=is_local)
            except NotFound as error:
                missing.append(error)
                return None

        with contextlib.suppress(StopIteration):
            return next(filter(None, self._links.try_each(look)))
        raise missing[0]
