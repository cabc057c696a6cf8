"""The tree of service errors: stable code, HTTP status, retryability and a hint for each condition.

The docstring of a class is its default message, so it is a full sentence for users. Codes are part of the public API
and never change; the Lua scripts of the job store get the same table, generated from these classes.
"""

from schemas.errors.base import ServiceError
from schemas.errors.callers import (
    BodyTooSlow,
    Conflict,
    Forbidden,
    Gone,
    IdempotencyMismatch,
    Invalid,
    LimitReached,
    NotConvertible,
    NotFound,
    NotOffered,
    PathNotAllowed,
    PaymentRequired,
    PreconditionFailed,
    RangeNotSatisfiable,
    TooManyDownloads,
    Unauthorized,
    Unavailable,
    WaitTimedOut,
)
from schemas.errors.jobs import (
    BrowserLost,
    Cancelled,
    ChoiceNotFound,
    DeadlineExceeded,
    InputMissing,
    InputNotOffered,
    InputNotTaken,
    LeaseLost,
    LoraNotFound,
    NeedsHuman,
    NoPicture,
    PageFloods,
    QueueWaitExceeded,
    ResultRefused,
    RobotsDisallowed,
    SiteBusy,
    SiteChanged,
    SiteFailed,
    SiteRefused,
    SiteSlow,
    SiteUnavailable,
    WorkerLost,
    WorkerStopping,
)

__all__ = [
    "BodyTooSlow",
    "BrowserLost",
    "Cancelled",
    "ChoiceNotFound",
    "Conflict",
    "DeadlineExceeded",
    "Forbidden",
    "Gone",
    "IdempotencyMismatch",
    "InputMissing",
    "InputNotOffered",
    "InputNotTaken",
    "Invalid",
    "LeaseLost",
    "LimitReached",
    "LoraNotFound",
    "NeedsHuman",
    "NoPicture",
    "NotConvertible",
    "NotFound",
    "NotOffered",
    "PageFloods",
    "PathNotAllowed",
    "PaymentRequired",
    "PreconditionFailed",
    "QueueWaitExceeded",
    "RangeNotSatisfiable",
    "ResultRefused",
    "RobotsDisallowed",
    "ServiceError",
    "SiteBusy",
    "SiteChanged",
    "SiteFailed",
    "SiteRefused",
    "SiteSlow",
    "SiteUnavailable",
    "TooManyDownloads",
    "Unauthorized",
    "Unavailable",
    "WaitTimedOut",
    "WorkerLost",
    "WorkerStopping",
    "error_classes",
    "errors_by_code",
]


def error_classes(root: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    """Return every error class of this package, each parent before its children."""
    children = [error for error in root.__subclasses__() if error.__module__.startswith(f"{__name__}.")]
    return [root, *(error for child in children for error in error_classes(child))]


def errors_by_code() -> dict[str, type[ServiceError]]:
    """Return the class that defines each code.

    "expired" is defined twice; the one that ends a job wins.
    """
    return {error.code: error for error in error_classes() if "code" in vars(error)}
