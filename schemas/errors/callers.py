"""Errors that answer a request."""

from typing import Any

from schemas.errors.base import ServiceError


class Invalid(ServiceError):
    """The request is not valid."""

    code = "invalid"
    status = 400
    hint = "Correct the fields named in the details."

    def __init__(self, message: str | None = None, *, problems: list[str] | None = None, **details: Any) -> None:
        """``problems`` holds one sentence for each mistake."""
        super().__init__(message, **details)
        self.problems = problems or [self.message]


class RangeNotSatisfiable(Invalid):
    """The requested byte range lies outside the file."""

    code = "range_not_satisfiable"
    status = 416
    hint = "Request a range inside the size that Content-Range states."


class Unauthorized(ServiceError):
    """Invalid or missing API key."""

    code = "unauthorized"
    status = 401
    hint = "Send the key as 'x-api-key: KEY' or 'Authorization: Bearer KEY'."


class PaymentRequired(ServiceError):
    """The plan of this key does not include the request."""

    code = "payment_required"
    status = 402
    hint = "Assign a plan to the key."


class Forbidden(ServiceError):
    """This key is not allowed to do that."""

    code = "forbidden"
    status = 403
    hint = "Use a key with the scope that the message names."


class PathNotAllowed(Forbidden):
    """This file is not served."""

    hint = "Only regular files inside the folders of MODELS_DIR are served; check what is at that path."


class NotFound(ServiceError):
    """Not found."""

    code = "not_found"
    status = 404
    hint = "Check the address and the id."


class Conflict(ServiceError):
    """The current state of the resource does not allow this."""

    code = "conflict"
    status = 409
    hint = "Read the current state first."


class NotConvertible(Conflict):
    """This result is not converted into other formats."""

    hint = "Fetch the original bytes from the URL in the job's 'result'; '/ID.jpg' is a poster."


class PreconditionFailed(Conflict):
    """The file has changed since the version that the request names."""

    code = "precondition_failed"
    status = 412
    hint = "Start over without If-Match and If-Unmodified-Since."


class BodyTooSlow(ServiceError):
    """The body of the request arrived too slowly."""

    code = "body_too_slow"
    status = 408
    retryable = True
    hint = "Send the body at 10 kB/s or faster after the first ten seconds, and within ten minutes."


class IdempotencyMismatch(ServiceError):
    """This Idempotency-Key was already used with a different request."""

    code = "idempotency_mismatch"
    status = 422
    hint = "Use a new key for each new request; repeat a key only with the identical request."


class Gone(ServiceError):
    """This has expired."""

    code = "expired"
    status = 410
    hint = "Fetch pictures before 'expiresAt', or raise RESULT_TTL_S."


class LimitReached(ServiceError):
    """A limit was reached."""

    code = "limit_reached"
    status = 429
    retryable = True
    hint = "Wait for the number of seconds in Retry-After."


class NotOffered(ServiceError):
    """Darkroom does not offer this."""

    code = "not_offered"
    status = 501
    hint = "Use the program itself."


class Unavailable(ServiceError):
    """A component that Darkroom depends on does not answer."""

    code = "unavailable"
    status = 503
    retryable = True
    hint = "Request /health with a key to see which component is down."

    def __init__(
        self, message: str | None = None, *, retry_after_s: int | None = None, reason: str = "", **details: Any
    ) -> None:
        """``reason`` is what the component's driver says: for operators, in logs and commands, and not for clients."""
        super().__init__(message, retry_after_s=retry_after_s, **details)
        self.reason = reason

    def __str__(self) -> str:
        """Return the message with the reason."""
        return f"{self.message} ({self.reason})" if self.reason else self.message


class WaitTimedOut(ServiceError):
    """The job has not ended within the wait time of this request."""

    # Only the request ends, not the job that it waits for.
    code = "wait_timed_out"
    status = 504
    hint = "The job goes on: read it at GET /api/v1/jobs/ID, or ask for a stream where the API has one."


class TooManyDownloads(Unavailable):
    """This process already serves its maximum number of downloads."""

    hint = "Retry after the seconds in Retry-After; with DOWNLOADS_BY a proxy sends the files instead."
