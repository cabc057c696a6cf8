"""The sending of canaries: a tiny job of each site that wants one, and the noting of how it ended."""

import secrets

import structlog

from schemas.errors import Gone, LimitReached, NotFound, ServiceError, Unavailable
from schemas.jobs.job import LOWEST_PRIORITY, Submission
from schemas.sites.recipe import Canary, Recipe
from stores import Stores
from stores.sites.canaries import CANARY_OWNER

log = structlog.get_logger(__name__)


class Canaries:
    """The canaries of all sites."""

    def __init__(self, stores: Stores) -> None:
        """Nothing is sent yet."""
        self._stores = stores

    def look_after(self) -> None:
        """Note what has ended, send what is due; a site without consent or with an open circuit gets none."""
        for recipe in self._stores.recipes.all():
            if recipe.canary:
                self._look_after(recipe, recipe.canary)

    def _look_after(self, recipe: Recipe, canary: Canary) -> None:
        try:
            self._note_end(recipe.name)
            self._send_if_due(recipe, canary)
        except Unavailable:
            raise
        except ServiceError as error:
            # The clock has more to do than one site's canary.
            log.error("canary.not_sent", site=recipe.name, code=error.code, error=error.message)  # noqa: TRY400

    def _note_end(self, site: str) -> None:
        canaries = self._stores.canaries
        job_id = canaries.pending(site)
        if job_id is None:
            return
        try:
            job = self._stores.jobs.get(job_id)
        except (NotFound, Gone):
            canaries.ended(site, None)
            return
        if job.state.final:
            canaries.ended(site, job)
            if job.error:
                log.error("canary.failed", site=site, job_id=job_id, code=job.error.code)

    def _send_if_due(self, recipe: Recipe, canary: Canary) -> None:
        canaries = self._stores.canaries
        if canaries.pending(recipe.name) or not self._stores.consents.given(recipe):
            return
        if self._stores.circuits.read([recipe.name])[recipe.name].open:
            return
        if canaries.take_turn(recipe.name, canary.every_s):
            self._send(recipe, canary)

    def _send(self, recipe: Recipe, canary: Canary) -> None:
        inputs = recipe.check_inputs(canary.inputs)
        submission = Submission(recipe.name, canary.prompt, None, inputs, LOWEST_PRIORITY)
        job_id = secrets.token_hex(16)
        try:
            self._stores.jobs.create(job_id, CANARY_OWNER, submission, f"canary-{job_id[:8]}")
        except LimitReached:
            log.info("canary.left_out", site=recipe.name)
            return
        self._stores.canaries.sent(recipe.name, job_id)
        self._stores.tickets.offer()
