"""Owns how gunicorn's own lines look: as all others do. Named by ``ops.processes``, loaded by gunicorn."""

from typing import Any

from gunicorn.glogging import Logger

from ops.logging import configure_logging
from ops.settings import load_settings


class StructuredLogger(Logger):  # type: ignore[misc] # gunicorn has no types
    """Hands gunicorn's lines to the root logger of the process."""

    def setup(self, cfg: Any) -> None:
        """Called by gunicorn in its master and in each worker."""
        super().setup(cfg)
        settings = load_settings()
        configure_logging("web", level=settings.log_level, style=settings.log_format)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
