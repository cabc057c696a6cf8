"""A worker without a browser, for tests that need finished jobs."""

import threading
from types import TracebackType
from typing import Self

from schemas.errors import SiteRefused
from schemas.jobs.job import Job, Progress
from stores import Stores
from tests.integration.conftest import IMAGE


class AutomaticWorker:
    """Completes every job at once, in a thread, while the ``with`` block runs.

    Jobs with "gore" in the prompt are refused; those with "endless" are accepted and never end.
    """

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        """Start the worker."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the worker."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            while job := self._stores.attempts.claim("automatic-worker"):
                self._execute(job)

    def _execute(self, job: Job) -> None:
        attempts = self._stores.attempts
        attempts.mark_accepted(job)
        if "endless" in job.request.prompt:
            return
        if "gore" in job.request.prompt:
            attempts.fail(job, SiteRefused("Not here."))
            return
        attempts.record_progress(job, Progress(50.0, 10, 20))
        attempts.record_preview(job, b"preview")
        keys = attempts.store_images(job, [IMAGE], b"jpeg bytes")
        attempts.complete(job, [IMAGE], keys)
