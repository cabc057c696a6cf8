"""What a caller is told of limits: how much was used, how much there is, and when it begins anew."""

from typing import Any

from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import caller, stores
from api.http.route_policy import Access, RateLimit
from schemas.accounts.caller import CallerLimits
from schemas.accounts.rate_limits import Rate
from stores.accounts.quotas import Usage

blueprint = Blueprint("quota", __name__, access=Access.KEY, url_prefix="/api/v1/quota", description="Limits and usage.")


@blueprint.route("")
@blueprint.response(200, description="`plan`, `scopes`, `quotas` by name, and `rates` by policy.")
def read() -> Response:
    """What your key may do, how much of it is used, and when it begins anew; null means no limit."""
    who, kept = caller(), stores()
    usual = kept.rate_limits.defaults
    rates = {
        RateLimit.SUBMIT: who.limits.rate or usual.submit,
        RateLimit.GENERAL: usual.general,
        RateLimit.STATUS: usual.status,
    }
    return jsonify(
        {
            "plan": who.plan,
            "scopes": sorted(who.scopes),
            "quotas": _quotas_view(kept.quotas.get_limits(who), kept.quotas.get_usage(who.id)),
            "rates": {policy: _rate_view(rate) for policy, rate in rates.items()},
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
    bounded = limit is not None and limit >= 0
    left = max(0, limit - used) if limit is not None and bounded else None
    return {"limit": limit if bounded else None, "used": used, "remaining": left, "resetsAt": resets_at}


def _rate_view(rate: Rate) -> dict[str, int] | None:
    return None if rate.is_unlimited else {"limit": rate.limit, "windowSeconds": rate.window_s}
