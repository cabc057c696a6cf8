"""The sections of the console, in the order of the navigation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A section: the name in its address, its title, and the name of its icon in ``components/icons.html``."""

    name: str
    title: str
    icon: str

    @property
    def path(self) -> str:
        """The address of the section."""
        return f"/console/{self.name}"


MAKE = Section("make", "Make", "make")
JOBS = Section("jobs", "Jobs", "jobs")
MODELS = Section("models", "Models", "models")
GALLERY = Section("gallery", "Gallery", "gallery")
SITES = Section("sites", "Sites", "sites")
WEBHOOKS = Section("webhooks", "Webhooks", "webhooks")
KEYS = Section("keys", "Keys", "keys")
SYSTEM = Section("system", "System", "system")
SECTIONS = (MAKE, JOBS, MODELS, GALLERY, SITES, WEBHOOKS, KEYS, SYSTEM)
