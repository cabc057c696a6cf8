"""Common parts of all console pages: sign-in, security headers, the frame around a section, and error pages."""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response as BaseResponse

from api.console.assets import asset_url
from api.console.sections import SECTIONS, Section
from api.http.auth import admit
from api.http.context import caller, prefers_html, stores
from api.http.error_responses import error_response, service_error
from ops.infra.version import VERSION
from schemas.accounts.caller import Scope
from schemas.errors import ServiceError, Unauthorized, Unavailable
from stores.jobs.event_log import STREAM_START

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ]
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Under "no-referrer" browsers send "Origin: null" with forms, and over plain HTTP no Sec-Fetch-Site either.
    "Referrer-Policy": "same-origin",
    # The next person at this browser must not see the page after the sign-out.
    "Cache-Control": "no-store",
}
SIGN_IN_PATH = "/console/sign-in"
HOME_PATH = "/"
HTML = "text/html"
ERROR_TITLES = {403: "Not allowed", 404: "Nothing here", 410: "Expired", 429: "Too many requests", 503: "Not available"}


def section_blueprint(name: str) -> Blueprint:
    """Return a blueprint for pages of people who have signed in; others are sent to the sign-in page.

    Errors of its views become pages.
    """
    blueprint = page_blueprint(name)
    blueprint.before_request(require_sign_in)
    return blueprint


def page_blueprint(name: str) -> Blueprint:
    """Return a blueprint for pages whose errors are pages too."""
    blueprint = Blueprint(f"console_{name}", __name__, template_folder="templates")
    blueprint.register_error_handler(ServiceError, error_page)
    blueprint.register_error_handler(HTTPException, lambda error: error_page(service_error(error)))
    return blueprint


def render(template: str, *, section: Section | None = None, status: int = 200, **context: Any) -> Response:
    """Return a page; the navigation marks ``section``."""
    signed_in = "caller" in g
    page = render_template(
        f"console/{template}",
        section=section,
        sections=SECTIONS,
        asset_url=asset_url,
        version=VERSION,
        signed_in=caller() if signed_in else None,
        stream_position=_stream_position() if signed_in else None,
        now_ms=stores().clock.now_ms(),
        **context,
    )
    return Response(page, status, HEADERS, mimetype=HTML)


def error_page(error: ServiceError) -> BaseResponse:
    """Return the page for an error; without a session, the way to the sign-in page."""
    if not prefers_html():
        return error_response(error)
    if isinstance(error, Unauthorized):
        return redirect_to_sign_in()
    title = ERROR_TITLES.get(error.status, "Something went wrong")
    response = render("error.html", status=error.status, title=title, error=error)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def redirect_to_sign_in() -> BaseResponse:
    """Return the redirect to the sign-in page, which leads back to this request's address."""
    target = request.full_path.removesuffix("?") if request.method == "GET" else HOME_PATH
    return redirect(SIGN_IN_PATH if target == HOME_PATH else f"{SIGN_IN_PATH}?{urlencode({'next': target})}")


def require_sign_in() -> None:
    """Let a signed-in person in; raises Unauthorized and Forbidden.

    Where the page's event stream starts is read here, before the page's data, so that no event falls in between.
    """
    admit(Scope.READ)
    _stream_position()


def _stream_position() -> str:
    """Return where the page's event stream starts, read once for each request."""
    if "stream_position" not in g:
        try:
            g.stream_position = stores().event_log.newest_stream_id(caller().id)
        except Unavailable:
            g.stream_position = STREAM_START
    return str(g.stream_position)


fallback = section_blueprint("fallback")


@fallback.route("/console/<path:_name>")
def missing(_name: str) -> Response:
    """Report an address without a page as a page."""
    raise NotFound("There is no such page in the console.")
