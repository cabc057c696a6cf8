"""The one tree of errors, with the stable codes that clients and logs see.

Raised by stores, workers and api; turned into HTTP in ``api.http.error_responses`` and into a job's end in
``workers.jobs.runner``.
"""

from typing import Any, ClassVar


class ServiceError(Exception):
    """Something went wrong inside Darkroom; the log has the details."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    # What an attempt that ends so says about its site: "works", "broken", "closed" (to us), or nothing.
    site_effect: ClassVar[str] = ""
    hint: ClassVar[str] = "Look at the log of the process that answered, under this request's id."

    def __init__(self, message: str | None = None, *, retry_after_s: int | None = None, **details: Any) -> None:
        """``message`` is a sentence for people; ``details`` are JSON values for programs."""
        # A page may cut a character in half; what cannot be encoded cannot be stored.
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
        """``problems`` holds one sentence for each thing that is wrong."""
        super().__init__(message, **details)
        self.problems = problems or [self.message]


class Unauthorized(ServiceError):
    """Invalid or missing API key."""

    code = "unauthorized"
    status = 401
    hint = "Send the key as 'x-api-key: KEY' or 'Authorization: Bearer KEY'."


class PaymentRequired(ServiceError):
    """This key has no plan that includes the request."""

    code = "payment_required"
    status = 402
    hint = "Give the key a plan."


class Forbidden(ServiceError):
    """This key may not do that."""

    code = "forbidden"
    status = 403
    hint = "Use a key with the scope that the message names."


class NotFound(ServiceError):
    """There is no such thing here."""

    code = "not_found"
    status = 404
    hint = "Check the address and the id."


class Conflict(ServiceError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409
    hint = "Read the present state first."


class IdempotencyMismatch(ServiceError):
    """This Idempotency-Key came with another request before."""

    code = "idempotency_mismatch"
    status = 422
    hint = "Send a new key with each new request, and the same key only with the very same one."


class Gone(ServiceError):
    """This was here and has expired."""

    code = "expired"
    status = 410
    hint = "Fetch pictures before 'expiresAt', or raise RESULT_TTL_S."


class LimitReached(ServiceError):
    """A limit was reached."""

    code = "limit_reached"
    status = 429
    retryable = True
    hint = "Wait for the number of seconds in Retry-After."


class Unavailable(ServiceError):
    """A part that Darkroom needs does not answer."""

    code = "unavailable"
    status = 503
    retryable = True
    hint = "Ask /health with a key which part is down."


class SiteUnavailable(ServiceError):
    """The site did not answer."""

    code = "site_unavailable"
    status = 502
    site_effect = "broken"
    retryable = True
    hint = "Open the site in a browser of your own; Darkroom tries again by itself."


class SiteRefused(ServiceError):
    """The site refused this prompt."""

    code = "site_refused"
    status = 422
    site_effect = "works"
    hint = "The words are the site's own: change the prompt accordingly."


class SiteChanged(ServiceError):
    """The page is not as its recipe describes it."""

    code = "site_changed"
    status = 502
    site_effect = "broken"
    hint = "Compare the recipe's selectors with the page; the job's failure bundle shows both."


class NeedsHuman(ServiceError):
    """The site asks for a person: a login or a CAPTCHA."""

    code = "needs_human"
    status = 502
    site_effect = "closed"
    hint = "Sign in with './darkroom sites login NAME', then close the circuit; Darkroom does not solve CAPTCHAs."


class LoraNotFound(ServiceError):
    """The site has no LoRA of that name."""

    code = "lora_not_found"
    status = 404
    site_effect = "works"
    hint = "Take one of the names suggested, or look it up with /search-loras."


class ChoiceNotFound(ServiceError):
    """The page does not offer this choice."""

    code = "choice_not_found"
    status = 422
    site_effect = "works"
    hint = "Take one of the choices that GET /api/v1/sites/NAME lists."


class InputNotOffered(ServiceError):
    """The page has no place for one of the job's inputs."""

    code = "input_not_offered"
    status = 422
    site_effect = "works"
    hint = "Leave that input out, or correct the recipe if the page has a place for it."


class SiteBusy(ServiceError):
    """The site asks to be left alone for a while."""

    code = "site_busy"
    status = 503
    retryable = True
    hint = "Darkroom waits as long as the site asks for and tries again; raise the recipe's min_interval_s."


class RobotsDisallowed(ServiceError):
    """The robots.txt of the site's host does not allow automated visits."""

    code = "robots_disallowed"
    status = 403
    site_effect = "closed"
    hint = "Do not automate this site; if it is yours, say ownership = 'own' in its recipe."


class BrowserLost(ServiceError):
    """The browser or its page died during the attempt."""

    code = "browser_lost"
    status = 502
    retryable = True
    hint = "Darkroom tries again by itself; if it repeats, look at the worker's memory."


class DeadlineExceeded(ServiceError):
    """The attempt took longer than it may."""

    code = "deadline_exceeded"
    status = 504
    hint = "Ask for a smaller picture or fewer steps, or raise JOB_DEADLINE_S."


class Cancelled(ServiceError):
    """The job was cancelled."""

    code = "cancelled"
    status = 409
    hint = "Submit it again if that was not meant."


class WorkerLost(ServiceError):
    """The workers that took this job died, time after time."""

    code = "worker_lost"
    status = 500
    hint = "Look at the workers' logs and memory before submitting it again."


class QueueWaitExceeded(ServiceError):
    """The job waited longer in the queue than it may."""

    code = "expired"
    status = 504
    hint = "Start more workers, or raise MAX_WAIT_S."


class LeaseLost(ServiceError):
    """Another attempt holds this job now; this one may not write."""

    code = "lease_lost"
    status = 409
    hint = "Nothing to do: the other attempt ends the job."


def error_classes() -> list[type[ServiceError]]:
    """All the classes of this module, in the order in which they are written."""
    kinds = [kind for kind in ServiceError.__subclasses__() if kind.__module__ == __name__]
    return [ServiceError, *kinds]
