"""Limits and usage of the caller's key."""

from typing import Any

from flask import Response, jsonify

from api.accounts.responses import LimitsView
from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access, RateLimit
from api.sites.site_queries import site_quota
from schemas.accounts.caller import CallerLimits
from schemas.accounts.rate_limits import Rate
from stores.accounts.quotas import Usage

blueprint = Blueprint("quota", __name__, access=Access.KEY, url_prefix="/api/v1/quota", description="Limits and usage.")


@blueprint.route("")
@blueprint.response(200, LimitsView)
def read() -> Response:
    """Limits and usage of your key, and when they reset; null means unlimited. `site` may show no quota: null."""
    defaults = stores().rate_limits.defaults
    rates = {
        RateLimit.SUBMIT: caller().limits.rate or defaults.submit,
        RateLimit.GENERAL: defaults.general,
        RateLimit.STATUS: defaults.status,
    }
    quotas = stores().quotas
    return jsonify(
        {
            "plan": caller().plan,
            "scopes": sorted(caller().scopes),
            "quotas": _quotas_view(quotas.get_limits(caller()), quotas.get_usage(caller().id)),
            "rates": {policy: _rate_view(rate) for policy, rate in rates.items()},
            "site": site_quota(stores().recipes.default),
        }
    )


def _quotas_view(limits: CallerLimits, usage: Usage) -> dict[str, Any]:
    return {
        "queued": _quota_view(limits.queued, usage.queued),
        "concurrent": _quota_view(limits.concurrent, usage.running),
        "daily": _quota_view(limits.daily, usage.daily, usage.reset_times["DAILY"]),
        "weekly": _quota_view(limits.weekly, usage.weekly, usage.reset_times["WEEKLY"]),
    }


def _quota_view(limit: int | None, used: int, resets_at: int | None = None) -> dict[str, Any]:
    if limit is not None and limit < 0:
        limit = None
    remaining = None if limit is None else max(0, limit - used)
    return {"limit": limit, "used": used, "remaining": remaining, "resetsAt": resets_at}


def _rate_view(rate: Rate) -> dict[str, int] | None:
    return None if rate.is_unlimited else {"limit": rate.limit, "windowSeconds": rate.window_s}
