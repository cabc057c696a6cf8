"""The errors that a route can send because of its policy, its path, its parameters and its body.

A view declares the errors that only it can raise: ``@blueprint.sends(Conflict, Gone)``, or ``@blueprint.alt_response``
with a description.
"""

from typing import Any

from werkzeug.routing import Rule

from api.http.route_policy import SAFE_METHODS, Access, RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import BodyTooSlow, Forbidden, Invalid, LimitReached, ServiceError, Unauthorized, Unavailable

RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}, "example": 5}
}
NOT_FOUND = "There is nothing at this address, or it belongs to another caller."
TOO_LARGE = "The body is larger than this route accepts."
HTTP_UNPROCESSABLE = 422
WRONG_TYPE = "The body has another media type than this route accepts."


def describe_errors(
    operation: dict[str, Any], method: str, rule: Rule, policy: RoutePolicy, declared: set[int]
) -> dict[int, dict[str, Any]]:
    """Return the descriptions of errors, by status, without their bodies.

    ``declared`` are the statuses that the view has declared, whose descriptions are kept.
    """
    errors: dict[int, dict[str, Any]] = {error.status: _describe(error) for error in _errors_of_policy(method, policy)}
    # These routes are those of another program: whatever is wrong with a request is 422, and its view reads the body.
    is_foreign = policy.access is Access.KEY_OR_SETTING
    invalid = {HTTP_UNPROCESSABLE if is_foreign else Invalid.status: _describe(Invalid)}
    has_body = bool(operation.get("requestBody"))
    if rule.arguments:
        # A text that no store can look up, such as one with a NUL, is not valid.
        errors |= invalid | {404: {"description": NOT_FOUND}}
    if has_body if is_foreign else method not in SAFE_METHODS:
        errors |= invalid | {408: _describe(BodyTooSlow), 413: {"description": TOO_LARGE}}
    if has_body and not is_foreign:
        errors[415] = {"description": WRONG_TYPE}
    if any(parameter.get("in") == "query" for parameter in operation.get("parameters", ())):
        errors |= invalid
    for status in (429, 503):
        if status in errors or status in declared:
            errors.setdefault(status, {})["headers"] = RETRY_AFTER
    return errors


def _errors_of_policy(method: str, policy: RoutePolicy) -> list[type[ServiceError]]:
    errors = [ServiceError, Unavailable, LimitReached]
    if policy.access is Access.KEY:
        errors.append(Unauthorized)
        if method not in SAFE_METHODS or policy.scope not in (None, Scope.READ):
            errors.append(Forbidden)
    if policy.access is Access.KEY_OR_SETTING:
        # Pages of other sites are refused, also where they read.
        errors += [Unauthorized, Forbidden]
    return errors


def _describe(error: type[ServiceError]) -> dict[str, Any]:
    return {"description": str(error.__doc__).strip()}
