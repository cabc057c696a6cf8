"""Responses of the gallery's pages: HTML with a strict content security policy, and errors as HTML for browsers."""

from typing import Any
from urllib.parse import quote, urlsplit

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from api.http.context import optional_caller, prefers_html, stores
from api.http.error_responses import error_response, http_error_response, unexpected_error_response
from ops.infra.version import VERSION
from schemas.errors import ServiceError

# Nothing but the server's own style sheets, pictures and videos; no scripts at all.
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
PUBLIC_CACHING = "public, max-age=5, stale-while-revalidate=30"
PRIVATE_CACHING = "private, no-cache"
TITLES = {
    400: "This address is not valid",
    401: "Sign in to see this",
    403: "Not allowed",
    404: "Nothing here",
    410: "No longer here",
    429: "Too many requests",
    503: "Not available at the moment",
}
SIGN_IN_TEXT = "The gallery of this server is not public. Sign in with a key to see it."
ADVICE = {
    400: "Start again from the gallery.",
    404: "Check the address. The page may have been deleted.",
    410: "This page has been deleted.",
    429: "Wait a moment, then reload the page.",
    500: "Try again. If it happens again, tell the operator the request number below.",
    503: "Try again in a moment.",
}


def page_response(template: str, **values: Any) -> Response:
    """Return a page; the same page again is answered with 304."""
    response = Response(_render(template, **values), mimetype="text/html")
    is_public = optional_caller() is None and stores().settings.gallery_public
    response.headers["Cache-Control"] = PUBLIC_CACHING if is_public else PRIVATE_CACHING
    response.headers["Vary"] = "Accept, Authorization, Cookie, X-API-Key"
    _secure(response)
    response.add_etag(weak=True)
    response.make_conditional(request)
    return response


def redirect_to(path: str) -> BaseResponse:
    """Redirect to the address that a resource has now, with the query."""
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    response = redirect(f"{root_path()}{path}{query}", 301)
    # Slugs can change back, so browsers must not keep the redirect.
    response.headers["Cache-Control"] = PRIVATE_CACHING
    return response


def root_path() -> str:
    """Return the path of PUBLIC_URL with a slash at its end, which is before every path in the pages."""
    return f"{urlsplit(stores().settings.public_url).path}/"


def init_page_errors(blueprint: Blueprint) -> None:
    """Answer errors of the blueprint's routes with a page if the client is a browser, else with JSON."""
    blueprint.register_error_handler(ServiceError, lambda error: _error_page(error_response(error), error.message))
    blueprint.register_error_handler(HTTPException, lambda error: _error_page(http_error_response(error)))
    blueprint.register_error_handler(Exception, lambda error: _error_page(unexpected_error_response(error)))


def _error_page(response: Response, message: str = "") -> Response:
    response.headers["Cache-Control"] = "no-store"
    if not prefers_html():
        return response
    status = response.status_code
    text = SIGN_IN_TEXT if status == 401 else message
    values = {"title": TITLES.get(status, "Something went wrong"), "message": text, "advice": ADVICE.get(status)}
    response.set_data(_render("gallery/error.html", status=status, request_id=g.get("request_id"), **values))
    response.mimetype = "text/html"
    _secure(response)
    return response


def _render(template: str, **values: Any) -> str:
    root = root_path()
    back = f"{root.rstrip('/')}{request.full_path.rstrip('?')}"
    sign_in = f"{root}console/sign-in?next={quote(back, safe='')}"
    return render_template(template, root=root, version=VERSION, viewer=optional_caller(), sign_in=sign_in, **values)


def _secure(response: Response) -> None:
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "strict-origin-when-cross-origin"
