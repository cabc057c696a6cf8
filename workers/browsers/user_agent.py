"""The suffix by which Darkroom identifies itself in the browser's user agent."""

from ops.infra.settings import Settings
from ops.infra.version import VERSION


def user_agent_suffix(settings: Settings) -> str:
    """Return the text that follows the browser's own user agent: name, version, that it is automated, and a contact."""
    contact = f"; +{settings.contact}" if settings.contact else ""
    return f"Darkroom/{VERSION} (automated{contact})"
