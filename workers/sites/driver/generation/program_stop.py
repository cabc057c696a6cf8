"""Stops the program behind a page when an attempt ends without a result, by the recipe's ``[cancel]``.

Closing a page stops nothing: most programs finish a picture that is not needed any more, and the next job waits behind
it or receives it. The button or request that stops a program often stops whatever it works on, also for other people,
so it is used only once the page has shown that the program works on this job.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from playwright.async_api import Error, Page

from schemas.errors import ServiceError
from schemas.sites.recipe import CancelRequest, CancelSpec, Recipe, Step
from schemas.sites.templates import render, render_url
from workers.sites.driver.submission_id import SubmissionId
from workers.sites.observer.observer import Observation, Observer, parse_progress

STOP_TIMEOUT_S = 2.0
# Of this time, how long to wait for the evidence that the program works on this job.
TURN_TIMEOUT_S = 1.0
SETTLE_S = 0.2
IDLE_TIMEOUT_S = 0.7
NOT_STOPPED = "The site's program could not be stopped and may still finish this picture."
UNSTOPPABLE = "The site's program cannot be stopped and may still finish this picture."
UNKNOWN = "Its recipe does not say how to stop the site's program, which may still finish this picture."
STOPPED = "The site's program was stopped."


class ProgramStop:
    """The work that an attempt must stop: none, a job in the program's queue, or the running job."""

    def __init__(
        self, page: Page, recipe: Recipe, observer: Observer, run_step: Callable[[Step], Awaitable[None]]
    ) -> None:
        self._page = page
        self._recipe = recipe
        self._observer = observer
        self._run_step = run_step
        self._is_submitted = False
        self._is_started = False
        self._has_ended = False
        self._id = SubmissionId(recipe.cancel, observer.set_submission_id)

    def record_submission(self) -> None:
        """The next step submits the prompt."""
        self._is_submitted = True
        self._id.listen(self._page)
        observe = self._recipe.observe
        # Without any evidence to wait for, the submission is the evidence.
        self._is_started = not (observe.started or observe.progress or observe.preview)

    def record_observation(self, observation: Observation) -> None:
        """Update the state of the program from an observation of the page."""
        observe = self._recipe.observe
        if observation.kind in ("done", "until", "empty", "error"):
            self._is_started = True
        elif observe.started:
            self._is_started |= observation.kind == "started"
        elif observation.kind == "progress":
            pattern = observe.progress.pattern if observe.progress else None
            self._is_started |= parse_progress(observation.text, pattern) is not None
        elif observation.kind == "preview":
            self._is_started = True

    def record_end(self) -> None:
        """The program has finished this job, with or without a result."""
        self._has_ended = True

    async def submission_id(self) -> str:
        """Return the id that the program gave to the prompt; empty if it is not known."""
        return await self._id.wait()

    async def stop(self) -> str:
        """Stop the program, and return a sentence about it; empty if there was nothing to stop. Takes at most 2 s."""
        if not self._is_submitted or self._has_ended or self._recipe.bundle:
            return ""
        cancel = self._recipe.cancel
        if cancel is None:
            return UNKNOWN
        if cancel.unstoppable:
            return UNSTOPPABLE
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                return await self._play(cancel)
        except (Error, ServiceError, TimeoutError):
            return NOT_STOPPED

    async def _play(self, cancel: CancelSpec) -> str:
        """Remove the job from the program's queue, or stop the program if it works on this job."""
        is_removed = not self._is_started and await self._run(cancel.waiting_steps, cancel.waiting_requests)
        is_same = (cancel.steps, cancel.requests) == (cancel.waiting_steps, cancel.waiting_requests)
        is_stopped = False
        if not (is_removed and is_same):
            is_stopped = await self._wait_for_turn(cancel) and await self._run(cancel.steps, cancel.requests)
        if not (is_removed or is_stopped):
            return NOT_STOPPED
        # The page needs time to send what the steps have caused; its own sign of work says when it has taken effect.
        await asyncio.sleep(SETTLE_S)
        with contextlib.suppress(Error, TimeoutError):
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                await self._page.evaluate("ms => window.__darkroom.whenIdle(ms)", 1000 * IDLE_TIMEOUT_S)
        return STOPPED

    async def _wait_for_turn(self, cancel: CancelSpec) -> bool:
        """Whether the program works on this job, or begins to within a second."""
        if not (cancel.steps or cancel.requests):
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TURN_TIMEOUT_S):
                while not self._is_started:
                    self.record_observation(await self._observer.next_observation())
        return self._is_started

    async def _run(self, steps: Sequence[Step], requests: Sequence[CancelRequest]) -> bool:
        """Run steps and requests; whether there were any."""
        for request in requests:
            await self._send(request)
        for step in steps:
            await self._run_step(step)
        return bool(steps or requests)

    async def _send(self, request: CancelRequest) -> None:
        values = {"id": ""}
        if "{{id}}" in request.url + request.body:
            # The program may have the prompt before the page has the answer.
            values["id"] = await self._id.wait_for_answer()
            if not values["id"]:
                raise Error("The page has not received an id for its request.")
        url = render_url(request.url, self._recipe.url, values)
        # The browser context's own client has its cookies and its proxy, and works without the page's cooperation.
        response = await self._page.context.request.fetch(
            url,
            method=request.method,
            data=render(request.body, lambda name: values.get(name, self._recipe.url)) or None,
            headers={"Content-Type": "application/json"} if request.body else {},
            timeout=1000 * STOP_TIMEOUT_S,
            max_redirects=0,
        )
        if not response.ok:
            raise Error(f"The site answers {response.status} to the request that stops it.")
