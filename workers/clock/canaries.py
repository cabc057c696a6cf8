"""Canaries: small jobs submitted periodically to each site whose recipe has a canary, to notice when it breaks."""

import secrets

import structlog

from schemas.accounts.caller import Caller
from schemas.errors import Gone, LimitReached, NotFound, ServiceError, Unavailable
from schemas.jobs.job import MIN_PRIORITY, JobRequest
from schemas.sites.recipe import CanarySpec, Recipe
from stores import Stores
from stores.jobs.submission import submit
from stores.sites.canaries import CANARY_OWNER

CANARY_CALLER = Caller(CANARY_OWNER, CANARY_OWNER)

log = structlog.get_logger(__name__)


class CanaryScheduler:
    """Submits canaries and records their outcomes, for all sites."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores

    def update_all(self) -> None:
        """Record finished canaries and submit due ones.

        A site gets none while its terms are not accepted or its circuit breaker is open.
        """
        for recipe in self._stores.recipes.list_all():
            if recipe.canary:
                self._update_site(recipe, recipe.canary)

    def _update_site(self, recipe: Recipe, canary: CanarySpec) -> None:
        try:
            self._record_result(recipe.name)
            self._send_if_due(recipe, canary)
        except Unavailable:
            raise
        except ServiceError as error:
            # One site must not stop the other canaries or the sweeps.
            log.error("canary.not_sent", site=recipe.name, code=error.code, error=str(error))  # noqa: TRY400

    def _record_result(self, site: str) -> None:
        canaries = self._stores.canaries
        job_id = canaries.get_pending(site)
        if job_id is None:
            return
        try:
            job = self._stores.jobs.get(job_id)
        except (NotFound, Gone):
            canaries.record_outcome(site, None)
            return
        if job.state.is_final:
            canaries.record_outcome(site, job)
            if job.error:
                log.error("canary.failed", site=site, job_id=job_id, code=job.error.code)

    def _send_if_due(self, recipe: Recipe, canary: CanarySpec) -> None:
        canaries = self._stores.canaries
        if canaries.get_pending(recipe.name) or not self._stores.accepted_terms.is_accepted(recipe):
            return
        if self._stores.circuit_breakers.read([recipe.name])[recipe.name].is_open:
            return
        if canaries.claim_turn(recipe.name, canary.every_s):
            self._send(recipe, canary)

    def _send(self, recipe: Recipe, canary: CanarySpec) -> None:
        request = JobRequest(recipe.name, canary.prompt, inputs=dict(canary.inputs), priority=MIN_PRIORITY)
        try:
            accepted = submit(self._stores, CANARY_CALLER, request, request_id=f"canary-{secrets.token_hex(4)}")
        except LimitReached:
            log.info("canary.left_out", site=recipe.name)
            return
        self._stores.canaries.record_sent(recipe.name, accepted.job.id)
