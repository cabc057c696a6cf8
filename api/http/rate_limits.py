"""Rate limiting of HTTP requests, and the RateLimit headers of responses.

Requests with a key are counted by caller, others by network address. If Redis is down, requests pass uncounted:
requests that need Redis fail anyway, and others must not fail because of a counter.
"""

import ipaddress

import structlog
from flask import Response, g, request

from api.http.context import stores
from api.http.route_policy import RateLimit, current_policy
from schemas.accounts.caller import Caller
from schemas.accounts.rate_limits import Rate, RateWindow
from schemas.errors import LimitReached, Unavailable
from stores import Stores

ADDRESS_POLICY, LOGIN_POLICY = "address", "login"
LOGIN_RATE = Rate(10, 60)
# IPv6 providers give each customer a /64 at least.
IPV6_CLIENT_PREFIX_LENGTH = 64
# Only these quotas have windows; the others limit how many jobs exist at once.
QUOTA_WINDOWS_S = {"daily": 86_400, "weekly": 604_800}

log = structlog.get_logger(__name__)


def count_caller(caller: Caller) -> None:
    """Count a request with a valid key or session; raises LimitReached."""
    policy = current_policy().rate_limit
    if policy is RateLimit.STATUS:
        _count_status(caller.id)
    else:
        _enforce(count(stores(), policy, caller))


def count_submission(caller: Caller, jobs: int = 1) -> None:
    """Count jobs that the policy of the current route does not count; raises LimitReached."""
    _enforce(count(stores(), RateLimit.SUBMIT, caller, jobs))


def count(stores: Stores, policy: RateLimit, caller: Caller, number: int = 1) -> RateWindow | None:
    """Count requests of a caller, or jobs; None if there is no limit, or if Redis does not answer."""
    defaults = stores.rate_limits.defaults
    rate = caller.limits.rate or defaults.submit if policy is RateLimit.SUBMIT else defaults.general
    return _count(stores, policy, rate, caller.id, number)


def count_anonymous() -> None:
    """Count a request without a key, or with an invalid one; raises LimitReached."""
    if current_policy().rate_limit is RateLimit.STATUS:
        _count_status(_client_network())
    else:
        _enforce(_count(stores(), ADDRESS_POLICY, stores().rate_limits.defaults.address, _client_network()))


def count_login_attempt() -> None:
    """Count an attempt to sign in. Unlike other requests it fails if it cannot be counted.

    Raises:
        LimitReached: too many attempts from this address.
        Unavailable: Redis is down.
    """
    _enforce(stores().rate_limits.hit(LOGIN_POLICY, LOGIN_RATE, _client_network()))


def _count_status(client_id: str) -> None:
    # Patient clients poll many times a second: each process counts for itself, without a round trip to Redis.
    rate = stores().rate_limits.defaults.status
    if not rate.is_unlimited:
        _enforce(stores().rate_limits.hit_local(RateLimit.STATUS, rate, client_id))


def _count(stores: Stores, policy: str, rate: Rate, client_id: str, number: int = 1) -> RateWindow | None:
    if rate.is_unlimited:
        return None
    try:
        return stores.rate_limits.hit(policy, rate, client_id, number)
    except Unavailable:
        log.warning("limits.not_counted", policy=policy)
        return None


def _enforce(window: RateWindow | None) -> None:
    if window is None:
        return
    g.window = window
    if window.is_exceeded:
        raise exceeded_error(window)


def exceeded_error(window: RateWindow) -> LimitReached:
    """Return the error of a request that exceeds its limit."""
    message = f"Too many requests: at most {window.rate}. Try again in {window.reset_s} s."
    return LimitReached(message, retry_after_s=window.reset_s, policy=window.policy)


def report_limit(error: LimitReached) -> None:
    """Report an exceeded quota in the RateLimit headers, instead of the rate limit that let the request pass."""
    policy, limit, wait_s = error.details.get("policy", ""), error.details.get("limit"), error.retry_after_s
    if limit is None or wait_s is None:
        # A rate limit: its window is already in ``g``.
        return
    reset_at = -(-stores().clock.now_ms() // 1000) + wait_s
    g.window = RateWindow(policy, Rate(limit, QUOTA_WINDOWS_S.get(policy, 0)), 0, reset_at, wait_s)


def add_rate_limit_headers(response: Response) -> Response:
    """Add the header fields of the IETF draft, and the older ``X-RateLimit-`` fields, if the request was counted."""
    window: RateWindow | None = g.get("window")
    if window is not None:
        for name, value in rate_limit_headers(window):
            response.headers.add(name, value)
    return response


def rate_limit_headers(window: RateWindow) -> list[tuple[str, str]]:
    """Return the header fields of a counted request."""
    remaining = max(0, window.remaining)
    length = f";w={window.rate.window_s}" if window.rate.window_s else ""
    return [
        ("RateLimit-Policy", f'"{window.policy}";q={window.rate.limit}{length}'),
        ("RateLimit", f'"{window.policy}";r={remaining};t={window.reset_s}'),
        ("X-RateLimit-Limit", str(window.rate.limit)),
        ("X-RateLimit-Remaining", str(remaining)),
        ("X-RateLimit-Reset", str(window.reset_at)),
    ]


def _client_network() -> str:
    """Return the client's IPv4 address or IPv6 network."""
    try:
        address = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, IPV6_CLIENT_PREFIX_LENGTH), strict=False))
    return str(address)
