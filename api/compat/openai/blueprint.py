"""Blueprints of OpenAI's Images API: their errors, and the headers that its clients read.

``/v1`` is also the prefix of the generaitiv API, so the prefix of each blueprint is longer than that.
"""

import re
from collections.abc import Sequence
from typing import Any

from flask import Response, g, request

from api.http.blueprint import Blueprint
from api.http.rate_limits import QUOTA_WINDOWS_S
from api.http.route_policy import Access, described_by
from schemas.accounts.rate_limits import RateWindow
from schemas.errors import Invalid, LimitReached, NotFound, PaymentRequired, ServiceError, Unauthorized
from schemas.http.error_bodies import OpenAIError
from schemas.jobs.job import Job

JOBS_HEADER = "X-Darkroom-Jobs"
INVALID_REQUEST, SERVER_ERROR = "invalid_request_error", "server_error"
# The site's or Darkroom's refusal of what a person wants, which the same request meets again.
USER_ERROR = "image_generation_user_error"
QUOTA = "insufficient_quota"
# The codes that OpenAI's clients expect instead of Darkroom's.
OWN_CODES: dict[type[ServiceError], str] = {
    Unauthorized: "invalid_api_key",
    PaymentRequired: QUOTA,
}
PARAMETER = re.compile(r"([A-Za-z_][\w.\[\]]{0,60}): ", re.ASCII)


def openai_blueprint(name: str, url_prefix: str, description: str) -> Blueprint:
    """Return a blueprint whose answers clients of OpenAI understand."""
    blueprint = Blueprint(
        name,
        __name__,
        access=Access.KEY,
        error_format=openai_body,
        url_prefix=url_prefix,
        description=description,
    )
    blueprint.after_request(_add_headers)
    return blueprint


@described_by(OpenAIError)
def openai_body(error: ServiceError) -> dict[str, Any]:
    """Return the body of errors in OpenAI's APIs."""
    problems = error.problems if isinstance(error, Invalid) else [error.message]
    kind, code = _kind_and_code(error)
    body = {"message": " ".join(problems), "type": kind, "param": _parameter(error, problems), "code": code}
    return {"error": body}


def remember_jobs(jobs: Sequence[Job]) -> None:
    """Note the jobs of the current request: its answer names them, and tells clients not to send it again."""
    g.openai_jobs = ",".join(job.id for job in jobs)


def jobs_header() -> dict[str, str]:
    """Return the header that names the jobs of the current request."""
    return {JOBS_HEADER: g.openai_jobs}


def _add_headers(response: Response) -> Response:
    if window := g.get("window"):
        _add_rate_limit(response, window)
    if g.get("openai_jobs"):
        response.headers.setdefault(JOBS_HEADER, g.openai_jobs)
        if response.status_code >= 400 and "Idempotency-Key" not in request.headers:
            # The packages retry a failed request automatically, which would create the same jobs again.
            response.headers["x-should-retry"] = "false"
    return response


def _kind_and_code(error: ServiceError) -> tuple[str, str]:
    """Return the type and the code of an error."""
    code = OWN_CODES.get(type(error), error.code)
    if isinstance(error, NotFound) and "model" in error.details:
        return INVALID_REQUEST, "model_not_found"
    if isinstance(error, LimitReached):
        # Of the other limits, a place becomes free soon.
        is_used_up = error.details.get("policy") in QUOTA_WINDOWS_S
        return (QUOTA, QUOTA) if is_used_up else ("requests", "rate_limit_exceeded")
    if isinstance(error, PaymentRequired):
        return QUOTA, code
    if "jobId" in error.details and error.status < 500:
        return USER_ERROR, code
    return (SERVER_ERROR if error.status >= 500 else INVALID_REQUEST), code


def _parameter(error: ServiceError, problems: Sequence[str]) -> str | None:
    if "model" in error.details:
        return "model"
    match = PARAMETER.match(problems[0]) if isinstance(error, Invalid) else None
    return match[1] if match else None


def _add_rate_limit(response: Response, window: RateWindow) -> None:
    response.headers["x-ratelimit-limit-requests"] = str(window.rate.limit)
    response.headers["x-ratelimit-remaining-requests"] = str(max(0, window.remaining))
    response.headers["x-ratelimit-reset-requests"] = _duration(window.reset_s)


def _duration(seconds: int) -> str:
    """Return a duration as their headers have it: ``41s``, ``6m0s`` or ``1h0m0s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{rest}s"
