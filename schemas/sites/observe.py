"""The parts of a recipe that observe a page while it works: elements of the page, or frames of its WebSocket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Alternatives, tried in order; each is a chain of selectors that leads through frames and shadow hosts.
Selectors = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class FramesSpec:
    """Which frames of the page's own WebSocket count, and where their content is.

    A JSON frame counts if each path of ``match`` has its value; ``text``, ``step``, ``steps`` and ``pictures`` are
    paths into it, and ``url`` is the template of a picture's URL, filled from its entry. With ``skip_bytes``, binary
    frames count instead: an image behind that many bytes. A path is ``data.output.images``; a number is a list index.
    """

    match: Mapping[str, Any] = field(default_factory=dict)
    skip_bytes: int | None = None
    text: str = ""
    step: str = ""
    steps: str = ""
    pictures: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class WatchSpec:
    """Something to observe: an element of the page, frames of its WebSocket, or either.

    ``source`` is the attribute or property of the element that is read. ``done`` counts once its value has been stable
    for ``settle_ms``.
    """

    selectors: Selectors = ()
    source: str = ""
    pattern: str | None = None
    settle_ms: int = 0
    frames: FramesSpec | None = None


@dataclass(frozen=True, slots=True)
class ObserveSpec:
    """What to observe during a generation; only ``done`` is required.

    ``busy`` is an element that is visible while the page works. With it, a picture counts as done only after the
    element has appeared and disappeared, so that a picture of an earlier run is not mistaken for the result.
    """

    done: WatchSpec
    busy: WatchSpec | None = None
    preview: WatchSpec | None = None
    progress: WatchSpec | None = None
    error: WatchSpec | None = None
    human: WatchSpec | None = None
