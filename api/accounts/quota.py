"""What a caller is told of limits: how much was used, how much there is, and when it begins anew."""

from typing import Any

from flask import Response, jsonify
from flask_smorest import Blueprint

from api.http.auth import require_key
from api.http.context import caller, stores
from api.http.rate_limits import ANYTHING, STATUS, SUBMIT
from schemas.accounts.caller import Limits
from schemas.accounts.rate_limits import Rate
from stores.accounts.quotas import Usage

blueprint = Blueprint("quota", __name__, url_prefix="/api/v1/quota", description="How much there is.")
blueprint.before_request(require_key)


@blueprint.route("")
@blueprint.response(200, description="`plan`, `scopes`, `quotas` by name, and `rates` by policy.")
def read() -> Response:
    """What your key may do, how much of it is used, and when it begins anew; null means no limit."""
    who, kept = caller(), stores()
    usual = kept.rates.usual
    rates = {SUBMIT: who.limits.rate or usual.submit, ANYTHING: usual.anything, STATUS: usual.status}
    return jsonify(
        {
            "plan": who.plan,
            "scopes": sorted(who.scopes),
            "quotas": _quotas(kept.quotas.limits(who), kept.quotas.usage(who.id)),
            "rates": {policy: _rate(rate) for policy, rate in rates.items()},
        }
    )


def _quotas(limits: Limits, usage: Usage) -> dict[str, Any]:
    return {
        "queued": _quota(limits.queued, usage.queued),
        "concurrent": _quota(limits.concurrent, usage.running),
        "daily": _quota(limits.daily, usage.daily, usage.resets_at["DAILY"]),
        "weekly": _quota(limits.weekly, usage.weekly, usage.resets_at["WEEKLY"]),
    }


def _quota(limit: int | None, used: int, resets_at: int | None = None) -> dict[str, Any]:
    bounded = limit is not None and limit >= 0
    left = max(0, limit - used) if limit is not None and bounded else None
    return {"limit": limit if bounded else None, "used": used, "remaining": left, "resetsAt": resets_at}


def _rate(rate: Rate) -> dict[str, int] | None:
    return None if rate.unlimited else {"limit": rate.most, "windowSeconds": rate.window_s}
