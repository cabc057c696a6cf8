"""The meaning of a page's errors for the job: their kind, and their text without decoration."""

import re

from schemas.errors import ServiceError, SiteBusy, SiteFailed, SiteRefused, SiteUnavailable
from schemas.sites.observe import ErrorSpec
from schemas.sites.page_patterns import find_text

RECONNECT_WAIT_S = 20.0
# The pause that a busy page gets if it does not say how long.
BUSY_PAUSE_S = 5
MAX_MESSAGE_CHARS = 500
# Lines that only decorate a message: its heading, and the cross that closes it.
DECORATION = re.compile(r"(?i)^(error|warning|x|\W*)[:!]?$")
QUOTED = re.compile(r"^(['\"])(.*)\1$", re.DOTALL)
RECONNECTING = re.compile(r"(?i)\breconnect")
# The words of well-known programs and libraries, by the kind of error. The first match counts: words of moderation
# come before all others, because a prompt that was refused must not be sent again.
KINDS_BY_WORDS = {
    "refused": r"nsfw|moderat|not allowed|forbidden|prohibited|inappropriate|safety|content policy|unsafe",
    "busy": (
        r"queue is full|queue full|full queue|too (?:busy|many requests)|currently busy|rate.?limit|overloaded"
        r"|try again (?:later|in)"
    ),
    "unavailable": (
        r"connection errored|connection (?:to the server )?(?:was |is |has been )?(?:lost|closed|reset|refused)"
        r"|reconnect|disconnected|failed to fetch|network ?error|bad gateway|gateway time-?out|service unavailable"
        r"|could not (?:connect|reach)|cannot (?:connect|reach)|unreachable"
    ),
    "failed": (
        r"out of memory|exceed allowed memory|\bcuda\b|cublas|cudnn|traceback|internal server error"
        r"|\b\w{1,60}(?:Error|Exception)\b|^error$"
    ),
}
KIND_PATTERNS = tuple((kind, re.compile(f"(?i){words}")) for kind, words in KINDS_BY_WORDS.items())


def read_error_text(spec: ErrorSpec, text: str) -> str | None:
    """Return the message in the ``text`` of an error; None if the recipe's pattern does not match it."""
    if spec.pattern:
        found = find_text(spec.pattern, text)
        if found is None:
            return None
        text = found
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = [line for line in lines if not DECORATION.match(line)] or lines
    # Gradio 3 shows the representation of an exception's message, which stands in quotation marks.
    return QUOTED.sub(r"\2", " ".join(words))[:MAX_MESSAGE_CHARS] or spec.message


def is_bare(words: str) -> bool:
    """Return whether the page says nothing but that there is an error."""
    return not words or bool(DECORATION.match(words))


def classify(spec: ErrorSpec, words: str) -> str:
    """Return the kind of an error: the recipe's, or that of its words."""
    if spec.kind or not words:
        return spec.kind or "failed"
    return next((kind for kind, pattern in KIND_PATTERNS if pattern.search(words)), "refused")


def recovery_s(spec: ErrorSpec, kind: str, words: str) -> float:
    """Return the seconds that the page has to recover from the error before the attempt ends."""
    if kind != "unavailable":
        return 0.0
    if spec.wait_ms is not None:
        return spec.wait_ms / 1000
    return RECONNECT_WAIT_S if RECONNECTING.search(words) else 0.0


def build_error(kind: str, words: str) -> ServiceError:
    """Return the service error for an error of the page."""
    if kind == "busy":
        return SiteBusy(words or None, retry_after_s=BUSY_PAUSE_S)
    if kind == "unavailable":
        return SiteUnavailable(words or None)
    if kind == "failed":
        return SiteFailed("The program failed; the page shows an error without words." if is_bare(words) else words)
    return SiteRefused(words or "The page shows an error without words.")
