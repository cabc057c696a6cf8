"""The rooms of the console, in the order of the navigation."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """A room: the name in its address, its title, and the name of its icon in ``components/icons.html``."""

    name: str
    title: str
    icon: str

    @property
    def path(self) -> str:
        """The address of the room."""
        return f"/console/{self.name}"


MAKE = Room("make", "Make", "make")
JOBS = Room("jobs", "Jobs", "jobs")
MODELS = Room("models", "Models", "models")
GALLERY = Room("gallery", "Gallery", "gallery")
SITES = Room("sites", "Sites", "sites")
WEBHOOKS = Room("webhooks", "Webhooks", "webhooks")
KEYS = Room("keys", "Keys", "keys")
SYSTEM = Room("system", "System", "system")
ROOMS = (MAKE, JOBS, MODELS, GALLERY, SITES, WEBHOOKS, KEYS, SYSTEM)
