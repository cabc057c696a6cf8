"""gunicorn's log in the format of all other logs; named by class path in ``ops.processes.web_command``.

gunicorn's arbiter has no settings and logs before the application is loaded, so this is a formatter of the standard
library. Like ``gunicorn_worker`` this module must not import ``ssl``, directly or indirectly.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from gunicorn.glogging import Logger


class JSONFormatter(logging.Formatter):
    """One JSON object per line, with the same names as the lines of ``ops.infra.logging``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record; a traceback is one of its values."""
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "process": "web",
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class GunicornLogger(Logger):  # type: ignore[misc] # gunicorn leaves it untyped
    """gunicorn's logger on stdout, as JSON unless LOG_FORMAT or a terminal asks for text."""

    def setup(self, cfg: Any) -> None:
        """Replace gunicorn's format and stream."""
        super().setup(cfg)
        style = os.environ.get("LOG_FORMAT", "auto")
        if style == "pretty" or (style == "auto" and sys.stdout.isatty()):
            return
        for handler in self.error_log.handlers:
            handler.setFormatter(JSONFormatter())
            if isinstance(handler, logging.StreamHandler):
                handler.setStream(sys.stdout)
