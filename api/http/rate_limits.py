"""How often one may ask: which policy a request falls under, whose count it is, and what is told of it.

A key's requests are
counted by key, those of strangers by address.
"""

import ipaddress

import structlog
from flask import Response, g, request

from api.http.context import stores
from schemas.accounts.caller import Caller
from schemas.accounts.rate_limits import Rate, Window
from schemas.errors import LimitReached, Unavailable
from stores.accounts.rate_limits import Rates

SUBMIT, ANYTHING, STATUS, ADDRESS, LOGIN = "submit", "requests", "status", "address", "login"
LOGINS_OF_ONE_ADDRESS = Rate(10, 60)
# Asked for many times a second by patient clients: generous, and counted by each process for itself.
STATUS_ENDPOINTS = frozenset({"weights.read_health", "weights.status", "jobs.read", "pictures.picture"})
NETWORK_OF_A_HOME = 64
# Of the quotas that begin anew; the others bound what there is at once.
LENGTHS_S = {"daily": 86_400, "weekly": 604_800}

log = structlog.get_logger(__name__)


def count_caller(caller: Caller, *, submits: bool) -> None:
    """Count a request with a key.

    Raises:
        LimitReached: it is one too many.
    """
    rates = stores().rates
    if request.endpoint in STATUS_ENDPOINTS:
        _count(rates, STATUS, rates.usual.status, caller.id)
    elif submits:
        _count(rates, SUBMIT, caller.limits.rate or rates.usual.submit, caller.id)
    else:
        _count(rates, ANYTHING, rates.usual.anything, caller.id)


def count_stranger() -> None:
    """Count a request without a key, or with one that is nobody's.

    Raises:
        LimitReached: it is one too many.
    """
    rates = stores().rates
    if request.endpoint in STATUS_ENDPOINTS:
        _count(rates, STATUS, rates.usual.status, _address())
    else:
        _count(rates, ADDRESS, rates.usual.address, _address())


def count_login() -> None:
    """Count an attempt to sign in, of any address; it is not let through uncounted, as others are.

    Raises:
        LimitReached: it is one too many.
        Unavailable: Redis does not answer.
    """
    _judge(stores().rates.take(LOGIN, LOGINS_OF_ONE_ADDRESS, _address()))


def _count(rates: Rates, policy: str, rate: Rate, who: str) -> None:
    if rate.unlimited:
        return
    try:
        window = (rates.take_here if policy == STATUS else rates.take)(policy, rate, who)
    except Unavailable:
        # What needs Redis says so itself; what does not need it must not fail for want of a count.
        log.warning("limits.not_counted", policy=policy)
        return
    _judge(window)


def _judge(window: Window) -> None:
    g.window = window
    if window.exceeded:
        words = f"Too many requests: at most {window.rate} here. Try again in {window.reset_s} s."
        raise LimitReached(words, retry_after_s=window.reset_s, policy=window.policy)


def blame(error: LimitReached) -> None:
    """Let the answer's header fields be about the limit that was reached, and not about a rate that was kept."""
    policy, most, wait_s = error.details.get("policy", ""), error.details.get("limit"), error.retry_after_s
    if most is None or wait_s is None:
        # It is a rate's, and its window is known.
        return
    reset_at = -(-stores().clock.now_ms() // 1000) + wait_s
    g.window = Window(policy, Rate(most, LENGTHS_S.get(policy, 0)), 0, reset_at, wait_s)


def tell(response: Response) -> Response:
    """``response``, with what is left: in the header fields of the IETF's draft, and in those that came before them."""
    window: Window | None = g.get("window")
    if window is not None:
        remaining, add = max(0, window.remaining), response.headers.add
        length = f";w={window.rate.window_s}" if window.rate.window_s else ""
        add("RateLimit-Policy", f'"{window.policy}";q={window.rate.most}{length}')
        add("RateLimit", f'"{window.policy}";r={remaining};t={window.reset_s}')
        add("X-RateLimit-Limit", str(window.rate.most))
        add("X-RateLimit-Remaining", str(remaining))
        add("X-RateLimit-Reset", str(window.reset_at))
    return response


def _address() -> str:
    """Where a stranger comes from: of IPv6 addresses the network, since every home has very many."""
    try:
        known = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if known.version == 6 and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((known, NETWORK_OF_A_HOME), strict=False))
    return str(known)
