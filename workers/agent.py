"""Owns what Darkroom's browsers say of themselves to sites.

Used by ``workers.boot`` and ``workers.kit``.
"""

from ops.settings import Settings
from ops.version import VERSION


def agent_of(settings: Settings) -> str:
    """What is put behind the browser's own name: that it is automated, and whom to write to."""
    contact = f"; +{settings.contact}" if settings.contact else ""
    return f"Darkroom/{VERSION} (automated{contact})"
