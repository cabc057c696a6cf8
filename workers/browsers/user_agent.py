"""What Darkroom's browsers say of themselves to sites."""

from ops.infra.settings import Settings
from ops.infra.version import VERSION


def user_agent_suffix(settings: Settings) -> str:
    """What is put behind the browser's own name: that it is automated, and whom to write to."""
    contact = f"; +{settings.contact}" if settings.contact else ""
    return f"Darkroom/{VERSION} (automated{contact})"
