"""The Python client of Darkroom, installed as ``darkroom_client``.

It is a package of its own, ``darkroom-client``, and imports nothing else of this project.

>>> from darkroom_client import Darkroom
>>> with Darkroom("http://127.0.0.1:3000", key) as darkroom:
...     picture = darkroom.generate("a lighthouse at dusk")
"""

from .aio import AsyncDarkroom
from .models import DarkroomError, Event, Job, JobFailedError, Picture
from .sync import Darkroom
from .webhooks import verify_webhook

__all__ = [
    "AsyncDarkroom",
    "Darkroom",
    "DarkroomError",
    "Event",
    "Job",
    "JobFailedError",
    "Picture",
    "verify_webhook",
]
