"""One attempt at a job: the task that executes it, how that task is interrupted, and how it ends."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import ServiceError
from schemas.jobs.job import GeneratedImage, Job


@dataclass(frozen=True, slots=True)
class Completed:
    """The outcome of an attempt whose images are stored.

    ``media_keys`` are what ``Attempts.store_images`` has returned. ``matched_selectors`` maps the first alternative of
    each selector to the alternative that matched.
    """

    images: Sequence[GeneratedImage]
    media_keys: Sequence[str]
    matched_selectors: dict[str, str]


@dataclass(frozen=True, slots=True)
class Failed:
    """The outcome of an attempt that did not produce images; the report and the trace (zip) explain why."""

    error: ServiceError
    failure_report: dict[str, Any] | None = None
    trace: bytes | None = None


Outcome = Completed | Failed


class TaskInterrupter:
    """Cancels the task that created it, with an error that says why.

    ``interruption`` is that error. The first call of ``interrupt`` wins, and calls after ``close`` are ignored. The
    task handles the resulting ``CancelledError`` and must call ``close`` so that it is not counted as cancelled.
    """

    def __init__(self) -> None:
        self.interruption: ServiceError | None = None
        self._task = asyncio.current_task()
        self._is_closed = False

    def interrupt(self, error: ServiceError) -> None:
        """Cancel the task with ``error``; must be called on the event loop."""
        if self._task and not self._is_closed and self.interruption is None:
            self.interruption = error
            self._task.cancel()

    def close(self) -> None:
        """Ignore further interruptions, because the interruptible work has ended."""
        if self.interruption and self._task and not self._is_closed:
            self._task.uncancel()
        self._is_closed = True


class Attempt(TaskInterrupter):
    """One attempt at ``job``; create it inside the task that executes the job.

    ``stop_note`` says whether the program behind the page was stopped; empty if there was nothing to stop.
    """

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job
        self.failure_report: dict[str, Any] | None = None
        self.trace: bytes | None = None
        self.stop_note = ""
