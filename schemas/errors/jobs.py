"""Errors that end an attempt or a job."""

from schemas.errors.base import ServiceError


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
