"""What all routes of this API have in common: who may call them, and the form of errors."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from flask import Response, g, request

from api.http.auth import READ_METHODS, admit, api_key_from_request
from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.error_responses import error_response
from api.http.rate_limits import count_anonymous
from api.http.request_bodies import read_body
from api.http.route_policy import Access, current_policy, described_by
from api.http.session_cookie import require_same_origin, session_token
from api.jobs.job_bodies import MAX_JSON_BYTES
from schemas.accounts.caller import ANONYMOUS, Caller, Scope
from schemas.errors import Forbidden, Invalid, ServiceError
from schemas.jobs.sdapi.validation_errors import BodyInvalid, problem_details
from schemas.jobs.sdapi.views import SdapiError

PREFIX = "/sdapi/v1"
DESCRIPTION = "The API of AUTOMATIC1111's web UI, for its existing clients."
HTTP_UNPROCESSABLE = 422
# Their messages are sentences of ours; the program has this class for whatever a client can cause.
ERROR_CLASS = "HTTPException"
ANONYMOUS_SCOPES = frozenset({Scope.READ, Scope.GENERATE})


@described_by(SdapiError)
def sdapi_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of an error: FastAPI's list of mistakes, or AUTOMATIC1111's four fields."""
    if isinstance(error, BodyInvalid):
        return {"detail": error.locations}
    if isinstance(error, Invalid):
        return {"detail": problem_details(error.problems)}
    return {"error": ERROR_CLASS, "detail": error.message, "body": "", "errors": error.message}


def sdapi_blueprint(name: str, url_prefix: str = PREFIX) -> Blueprint:
    """Return a blueprint for routes of this API that need a key."""
    blueprint = Blueprint(
        f"sdapi_{name}",
        __name__,
        access=Access.KEY_OR_SETTING,
        error_format=sdapi_body,
        url_prefix=url_prefix,
        description=DESCRIPTION,
    )
    blueprint.before_request(_identify)
    blueprint.register_error_handler(Invalid, _invalid_response)
    return blueprint


def json_object() -> dict[str, Any]:
    """Return the body as a JSON object.

    Raises:
        Invalid: it is not a JSON object.
    """
    # Pages of other sites can send a body of another type without asking the browser (CSRF).
    if not request.is_json:
        raise Invalid(problems=["Send a JSON object, with the header 'Content-Type: application/json'."])
    read_body(MAX_JSON_BYTES)
    body = request.get_json() if request.get_data() else None
    if not isinstance(body, dict):
        raise Invalid(problems=["value is not a valid dict"])
    return body


def _identify() -> None:
    """Identify the caller by a key or session; without either, as the anonymous one if the settings allow that.

    Raises:
        Unauthorized, Forbidden, LimitReached: as ``api.http.auth.admit``.
    """
    # CORS preflights carry no credentials.
    if request.method == "OPTIONS":
        return
    is_named = bool(api_key_from_request() or session_token())
    if stores().settings.allow_anonymous_sdapi and not is_named:
        count_anonymous()
        _require_own_page()
        g.caller = Caller(ANONYMOUS, ANONYMOUS, ANONYMOUS_SCOPES, plan=None)
        return
    admit(current_policy().scope or (Scope.READ if request.method in READ_METHODS else Scope.GENERATE))


def _require_own_page() -> None:
    """Refuse pages of other sites, also such as have made their name point here (DNS rebinding)."""
    require_same_origin(allow_non_browser=True)
    own = urlsplit(stores().settings.public_url).hostname
    try:
        host = urlsplit(f"//{request.host}").hostname or ""
    except ValueError:
        host = ""
    if host not in ("localhost", own) and not _is_address(host):
        raise Forbidden(f"Requests without a key must be sent to an IP address, localhost or {own}.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _invalid_response(error: Invalid) -> Response:
    response = error_response(error)
    response.status_code = HTTP_UNPROCESSABLE
    return response
