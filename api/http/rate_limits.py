"""How often one may ask: which policy a request falls under, whose count it is, and what is told of it.

A key's requests are
counted by key, those of strangers by address.
"""

import ipaddress

import structlog
from flask import Response, g, request

from api.http.context import stores
from schemas.accounts.caller import Caller
from schemas.accounts.rate_limits import Rate, RateWindow
from schemas.errors import LimitReached, Unavailable
from stores.accounts.rate_limits import RateLimits

SUBMIT, REQUESTS, STATUS, ADDRESS, LOGIN = "submit", "requests", "status", "address", "login"
LOGIN_RATE = Rate(10, 60)
# Asked for many times a second by patient clients: generous, and counted by each process for itself.
STATUS_ENDPOINTS = frozenset({"weights.read_health", "weights.status", "jobs.read", "pictures.picture"})
IPV6_CLIENT_PREFIX_LENGTH = 64
# Of the quotas that begin anew; the others bound what there is at once.
QUOTA_WINDOWS_S = {"daily": 86_400, "weekly": 604_800}

log = structlog.get_logger(__name__)


def count_caller(caller: Caller, *, is_submission: bool) -> None:
    """Count a request with a key.

    Raises:
        LimitReached: it is one too many.
    """
    rates = stores().rate_limits
    if request.endpoint in STATUS_ENDPOINTS:
        _count(rates, STATUS, rates.defaults.status, caller.id)
    elif is_submission:
        _count(rates, SUBMIT, caller.limits.rate or rates.defaults.submit, caller.id)
    else:
        _count(rates, REQUESTS, rates.defaults.general, caller.id)


def count_anonymous() -> None:
    """Count a request without a key, or with one that is nobody's.

    Raises:
        LimitReached: it is one too many.
    """
    rates = stores().rate_limits
    if request.endpoint in STATUS_ENDPOINTS:
        _count(rates, STATUS, rates.defaults.status, _client_network())
    else:
        _count(rates, ADDRESS, rates.defaults.address, _client_network())


def count_login_attempt() -> None:
    """Count an attempt to sign in, of any address; it is not let through uncounted, as others are.

    Raises:
        LimitReached: it is one too many.
        Unavailable: Redis does not answer.
    """
    _enforce(stores().rate_limits.hit(LOGIN, LOGIN_RATE, _client_network()))


def _count(rates: RateLimits, policy: str, rate: Rate, client_id: str) -> None:
    if rate.is_unlimited:
        return
    try:
        window = (rates.hit_local if policy == STATUS else rates.hit)(policy, rate, client_id)
    except Unavailable:
        # What needs Redis says so itself; what does not need it must not fail for want of a count.
        log.warning("limits.not_counted", policy=policy)
        return
    _enforce(window)


def _enforce(window: RateWindow) -> None:
    g.window = window
    if window.is_exceeded:
        words = f"Too many requests: at most {window.rate} here. Try again in {window.reset_s} s."
        raise LimitReached(words, retry_after_s=window.reset_s, policy=window.policy)


def report_limit(error: LimitReached) -> None:
    """Let the answer's header fields be about the limit that was reached, and not about a rate that was kept."""
    policy, most, wait_s = error.details.get("policy", ""), error.details.get("limit"), error.retry_after_s
    if most is None or wait_s is None:
        # It is a rate's, and its window is known.
        return
    reset_at = -(-stores().clock.now_ms() // 1000) + wait_s
    g.window = RateWindow(policy, Rate(most, QUOTA_WINDOWS_S.get(policy, 0)), 0, reset_at, wait_s)


def add_rate_limit_headers(response: Response) -> Response:
    """``response``, with what is left: in the header fields of the IETF's draft, and in those that came before them."""
    window: RateWindow | None = g.get("window")
    if window is not None:
        remaining, add = max(0, window.remaining), response.headers.add
        length = f";w={window.rate.window_s}" if window.rate.window_s else ""
        add("RateLimit-Policy", f'"{window.policy}";q={window.rate.limit}{length}')
        add("RateLimit", f'"{window.policy}";r={remaining};t={window.reset_s}')
        add("X-RateLimit-Limit", str(window.rate.limit))
        add("X-RateLimit-Remaining", str(remaining))
        add("X-RateLimit-Reset", str(window.reset_at))
    return response


def _client_network() -> str:
    """Where a stranger comes from: of IPv6 addresses the network, since every home has very many."""
    try:
        known = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if known.version == 6 and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, IPV6_CLIENT_PREFIX_LENGTH), strict=False))
    return str(known)
