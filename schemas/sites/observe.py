"""What of a recipe says where to look while a page works: on the page, or in its own socket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Selectors = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class FramesSpec:
    """What to look for in the page's own WebSocket.

    A JSON message tells if every path of ``match`` has its value there; ``text``, ``step``, ``steps`` and ``pictures``
    are paths into it, and ``url`` makes each picture's address of its fields. ``skip_bytes`` means binary messages
    instead: pictures behind so many bytes. A path is ``data.output.images``; a number is a place in a list.
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
    """Something to observe while the page works: where it is, on the page, in its socket or in either, and which part.

    What is ``done`` counts once it has stayed the same for ``settle_ms``.
    """

    selectors: Selectors = ()
    source: str = ""
    pattern: str | None = None
    settle_ms: int = 0
    frames: FramesSpec | None = None


@dataclass(frozen=True, slots=True)
class ObserveSpec:
    """What tells about a running generation; only ``done`` is required.

    With ``busy``, an element that is shown for as long as the page works, a picture counts as done only once that has
    come and gone: what a page shows before, or late from an earlier run, is not taken for the result.
    """

    done: WatchSpec
    busy: WatchSpec | None = None
    preview: WatchSpec | None = None
    progress: WatchSpec | None = None
    error: WatchSpec | None = None
    human: WatchSpec | None = None
