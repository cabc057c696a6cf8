"""The tree of service errors: stable code, HTTP status, retryability and a hint for each condition.

The docstring of a class is its default message, so it is a full sentence for users. Codes are part of the public API
and never change; the Lua scripts of the job store get the same table, generated from these classes.
"""

from typing import Any, ClassVar


class ServiceError(Exception):
    """Internal error; the log has the details."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    # What a failed attempt says about its site: "works", "broken", "closed" (to Darkroom), or "" for nothing.
    # The circuit breaker of the site acts on it.
    site_effect: ClassVar[str] = ""
    hint: ClassVar[str] = "Search the server log for the id of this request."

    def __init__(self, message: str | None = None, *, retry_after_s: int | None = None, **details: Any) -> None:
        """``message`` is a sentence for people; ``details`` are JSON values for programs."""
        # Text from a web page may contain lone surrogates, which neither Redis nor JSON clients accept.
        self.message = (message or (type(self).__doc__ or "").strip()).encode(errors="replace").decode()
        self.retry_after_s = retry_after_s
        self.details = details
        super().__init__(self.message)


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


class SiteUnavailable(ServiceError):
    """The site did not answer."""

    code = "site_unavailable"
    status = 502
    site_effect = "broken"
    retryable = True
    hint = "Open the site in your own browser; Darkroom retries automatically."


class SiteRefused(ServiceError):
    """The site refused this prompt."""

    code = "site_refused"
    status = 422
    site_effect = "works"
    hint = "The message is the site's own; change the prompt accordingly."


class SiteFailed(ServiceError):
    """The program behind the site failed."""

    code = "site_failed"
    status = 502
    retryable = True
    hint = "The message is the site's own; Darkroom retries automatically. Check the program's log and its memory."


class NoPicture(ServiceError):
    """The page finished without a new picture."""

    code = "no_picture"
    status = 502
    retryable = True
    hint = "Check the program's log: some pages show nothing when they fail. Darkroom retries automatically."


class SiteSlow(ServiceError):
    """The page did not react in time."""

    code = "site_slow"
    status = 504
    retryable = True
    hint = "Darkroom retries automatically; if it happens again, raise the timeout of the recipe's step."


class SiteChanged(ServiceError):
    """The page does not match its recipe."""

    code = "site_changed"
    status = 502
    site_effect = "broken"
    hint = "Compare the recipe's selectors with the page; the job's failure report shows both."


class ResultRefused(ServiceError):
    """The site's picture cannot be delivered."""

    # The page did what its recipe says, so this says nothing about the site.
    code = "result_not_accepted"
    status = 502
    hint = "The message says what Darkroom can deliver; request another size or format."


class NeedsHuman(ServiceError):
    """The site asks for a person: a login or a CAPTCHA."""

    code = "needs_human"
    status = 502
    site_effect = "closed"
    hint = "Sign in with './darkroom sites login NAME', then close the circuit breaker; CAPTCHAs are not solved."


class LoraNotFound(ServiceError):
    """The site has no LoRA of that name."""

    code = "lora_not_found"
    status = 404
    site_effect = "works"
    hint = "Use one of the suggested names, or search with /search-loras."


class ChoiceNotFound(ServiceError):
    """The page does not offer this choice."""

    code = "choice_not_found"
    status = 422
    site_effect = "works"
    hint = "Use one of the choices that GET /api/v1/sites/NAME lists."


class InputNotOffered(ServiceError):
    """The page has no field for one of the job's inputs."""

    code = "input_not_offered"
    status = 422
    site_effect = "works"
    hint = "Omit that input, or correct the recipe if the page has a field for it."


class InputNotTaken(ServiceError):
    """The page changed the value of one of the job's inputs."""

    code = "input_not_taken"
    status = 422
    site_effect = "works"
    hint = "Request a value that the page accepts; the details have the value that it used instead."


class SiteBusy(ServiceError):
    """The site asks clients to back off for a while."""

    code = "site_busy"
    status = 503
    retryable = True
    hint = "Darkroom waits as long as the site asks for and retries; raise min_interval_s in the recipe."


class RobotsDisallowed(ServiceError):
    """The robots.txt of the site does not allow automated visits."""

    code = "robots_disallowed"
    status = 403
    site_effect = "closed"
    hint = "Do not automate this site; if it is yours, set ownership = 'own' in its recipe."


class InputMissing(ServiceError):
    """The picture of an input is not in the media store."""

    code = "input_missing"
    hint = "Give all processes the same MEDIA_URL, with access to it, and submit the job again."


class BrowserLost(ServiceError):
    """The browser or its page died during the attempt."""

    code = "browser_lost"
    status = 502
    retryable = True
    hint = "Darkroom retries automatically; if it happens again, check the memory of the worker."


class PageFloods(ServiceError):
    """The page uses more resources of the browser than one page may."""

    code = "page_floods"
    status = 502
    site_effect = "broken"
    hint = "Look for endless requests, sockets or windows of the page in a browser's developer tools."


class DeadlineExceeded(ServiceError):
    """The attempt exceeded its time limit."""

    code = "deadline_exceeded"
    status = 504
    hint = "Request a smaller picture or fewer steps, or raise JOB_DEADLINE_S."


class Cancelled(ServiceError):
    """The job was cancelled."""

    code = "cancelled"
    status = 409
    hint = "Submit it again if that was not intended."


class WorkerLost(ServiceError):
    """The workers that took this job died."""

    # Raised by the Lua scripts only, from the table generated from these classes.
    code = "worker_lost"
    status = 500
    hint = "The page may crash workers: check their logs and memory before you submit the job again."


class WorkerStopping(ServiceError):
    """The worker is shutting down and returns the job to the queue."""

    code = "worker_stopping"
    retryable = True
    hint = "No action needed: another worker takes the job."


class QueueWaitExceeded(ServiceError):
    """The job waited in the queue longer than allowed."""

    code = "expired"
    status = 504
    hint = "Start more workers, or raise MAX_WAIT_S."


class LeaseLost(ServiceError):
    """Another attempt holds this job now; this one can no longer write."""

    code = "lease_lost"
    status = 409
    hint = "No action needed: the other attempt finishes the job."


def error_classes(root: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """Return every error class of this module, each parent before its children."""
    children = [error for error in root.__subclasses__() if error.__module__ == __name__]
    return [root, *(error for child in children for error in error_classes(child))]


def errors_by_code() -> dict[str, type[ServiceError]]:
    """Return the class that defines each code.

    "expired" is defined twice; the one that ends a job wins.
    """
    return {error.code: error for error in error_classes() if "code" in vars(error)}
