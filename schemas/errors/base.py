"""The class of all service errors."""

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
