"""Logging: JSON lines on a pipe, colours on a terminal, secrets redacted.

Keys are removed from the whole line, wherever a client has put them: into a path, a name or a wrong field.
"""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterable, MutableMapping
from types import TracebackType
from typing import Any
from urllib.parse import quote

import structlog

SECRET_FIELDS = frozenset({"key", "api_key", "token", "authorization", "cookie", "cookies", "password", "secret"})
HIDDEN = "[hidden]"
# Generated keys (64 digits, also within ``dr_ID_…``), and other secrets of this length.
GENERATED_KEY = re.compile(r"(?:\bdr_[0-9a-z]{1,32}_)?[0-9a-f]{40,}", re.IGNORECASE | re.ASCII)
# Credentials and parameters (signatures) in URLs, and passwords in connection strings.
URL_SECRETS = re.compile(r"(?<=://)[^\s/@]*@|(?<=[^\s?])\?[^\s?]*=[^\s)\"']*|(?<=password=)\S+", re.IGNORECASE)
MAX_REASON_CHARS = 300
MIN_LEVELS = {
    "dramatiq": logging.WARNING,
    "asyncio": logging.ERROR,
    "alembic": logging.WARNING,
    "httpx": logging.WARNING,
}


def configure_logging(
    process: str, *, level: str = "info", style: str = "auto", secrets: Iterable[str | None] = ()
) -> None:
    """Send the log lines of structlog and of the standard library to stdout in one format.

    ``process`` is added to every line. ``style`` is ``json``, ``pretty``, or ``auto``: pretty on a terminal, JSON
    elsewhere. ``secrets`` are removed from every line.
    """
    pretty = style == "pretty" or (style == "auto" and sys.stdout.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _add_process(process),
        _redact_secrets,
    ]
    renderer = structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    # The console renderer formats exceptions itself.
    exceptions = [] if pretty else [structlog.processors.format_exc_info]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *exceptions,
            renderer,
            _hide_keys(filter(None, secrets)),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, min_level in MIN_LEVELS.items():
        logging.getLogger(name).setLevel(min_level)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Drops lines below the level before any processor runs.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def log_uncaught_exceptions() -> None:
    """Log exceptions that end the process or a thread, and warnings, instead of printing them."""
    log = logging.getLogger("uncaught")

    def log_exception(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, traceback)
        else:
            log.critical("process.failed", exc_info=(kind, error, traceback))

    def log_thread_exception(hook: threading.ExceptHookArgs) -> None:
        if hook.exc_value is not None:
            log.error("thread.failed", exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback))

    def log_unraisable(hook: "sys.UnraisableHookArgs") -> None:
        if hook.exc_value is not None:
            log.error("exception.ignored", exc_info=(hook.exc_type, hook.exc_value, hook.exc_traceback))

    sys.excepthook = log_exception
    threading.excepthook = log_thread_exception
    sys.unraisablehook = log_unraisable
    logging.captureWarnings(capture=True)


def describe_error(error: BaseException) -> str:
    """Return why a driver failed, in its own words and without secrets: the first line, which has no values of rows."""
    # SQLAlchemy's own text holds the statement with its parameters.
    cause = getattr(error, "orig", None) or error
    line = next(filter(None, map(str.strip, str(cause).splitlines())), "")
    text = URL_SECRETS.sub("…", line).rstrip(". ")
    return text[:MAX_REASON_CHARS] or type(cause).__name__


def _hide_keys(secrets: Iterable[str]) -> Any:
    """Return a processor of the rendered line that removes keys in the forms that a path or a query gives them."""
    forms = {form for secret in secrets for form in (secret, quote(secret), quote(secret, safe=""))}
    escaped = {json.dumps(form)[1:-1] for form in forms} | forms
    known = [re.escape(form) for form in sorted(escaped, key=len, reverse=True)]
    pattern = re.compile("|".join([*known, GENERATED_KEY.pattern]), re.IGNORECASE | re.ASCII)

    def hide(_logger: Any, _method: str, line: str) -> str:
        return pattern.sub(HIDDEN, line)

    return hide


def _add_process(process: str) -> structlog.typing.Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    return add


def _redact_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in SECRET_FIELDS.intersection(event):
        event[name] = HIDDEN
    return event
