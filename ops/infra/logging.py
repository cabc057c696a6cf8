"""Logging: JSON lines on a pipe, colours on a terminal, secrets redacted."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

SECRET_FIELDS = frozenset({"key", "api_key", "token", "authorization", "cookie", "cookies", "password", "secret"})
MIN_LEVELS = {
    "dramatiq": logging.WARNING,
    "asyncio": logging.ERROR,
    "alembic": logging.WARNING,
    "httpx": logging.WARNING,
}


def configure_logging(process: str, *, level: str = "info", style: str = "auto") -> None:
    """Send the log lines of structlog and of the standard library to stdout in one format.

    ``process`` is added to every line. ``style`` is ``json``, ``pretty``, or ``auto``: pretty on a terminal, JSON
    elsewhere.
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
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *exceptions, renderer],
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


def _add_process(process: str) -> structlog.typing.Processor:
    def add(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("process", process)
        return event

    return add


def _redact_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in SECRET_FIELDS.intersection(event):
        event[name] = "[hidden]"
    return event
