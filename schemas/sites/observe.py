"""The parts of a recipe that observe a page while it works: elements of the page, or frames of its WebSocket."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Alternatives, tried in order; each is a chain of selectors that leads through frames and shadow hosts.
Selectors = tuple[tuple[str, ...], ...]

DEFAULT_EMPTY_MS = 5000


@dataclass(frozen=True, slots=True)
class FramesSpec:
    """Which frames of the page's own WebSocket count, and where their content is.

    A JSON frame counts if each path of ``match`` has its value, or one of its values if that is a list. ``text``,
    ``step``, ``steps``, ``fraction`` (0 to 1), ``picture`` (a ``data:`` URL) and ``pictures`` are paths into it, and
    ``url`` is the template of a picture's URL, filled from its entry. With ``skip_bytes``, binary frames count instead:
    those with a picture behind at least that many bytes. A path is ``data.output.images``; a number is a list index,
    and ``*`` is every key or index. Of ``pictures``, only entries with the values of ``where`` count.
    """

    match: Mapping[str, Any] = field(default_factory=dict)
    skip_bytes: int | None = None
    text: str = ""
    step: str = ""
    steps: str = ""
    fraction: str = ""
    picture: str = ""
    pictures: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True, slots=True)
class WatchSpec:
    """Something to observe: an element of the page, frames of its WebSocket, or either.

    ``source`` is the attribute or property of the element that is read. ``done`` counts once its value has been stable
    for ``settle_ms``; a page that has stopped working without a new picture for ``empty_ms`` has failed.
    """

    selectors: Selectors = ()
    source: str = ""
    pattern: str | None = None
    settle_ms: int = 0
    empty_ms: int = DEFAULT_EMPTY_MS
    frames: tuple[FramesSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrorSpec(WatchSpec):
    """A place where the page shows errors.

    ``kind`` is their meaning; if it is empty, their text decides. The page has ``wait_ms`` to recover from a lost
    connection before the attempt ends; None stands for the default of the words. ``message`` replaces missing words.
    """

    kind: str = ""
    wait_ms: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ObserveSpec:
    """What to observe during a generation; only ``done`` is required.

    ``busy`` is an element that is visible while the page works. With it, a picture counts as done only after the
    element has appeared and disappeared, so that a preview is not mistaken for the result. ``until`` is the page's own
    statement that the generation has ended: all pictures up to it are results. ``started`` is the evidence that the
    program works on this job, and not on another one in its queue; by default progress or a preview. ``missed`` is the
    URL that tells what the page has missed while it was not connected.
    """

    done: WatchSpec
    busy: WatchSpec | None = None
    until: WatchSpec | None = None
    started: WatchSpec | None = None
    preview: WatchSpec | None = None
    progress: WatchSpec | None = None
    error: tuple[ErrorSpec, ...] = ()
    human: WatchSpec | None = None
    missed: str = ""

    @property
    def watches(self) -> tuple[WatchSpec, ...]:
        """All that is observed."""
        single = (self.done, self.busy, self.until, self.started, self.preview, self.progress, self.human)
        return (*(watch for watch in single if watch), *self.error)
