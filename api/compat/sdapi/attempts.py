"""The jobs of a request, submitted again without inputs for which the page turns out to have no field.

Clients send size, seed and so on with each request, and recipes for many pages declare what not every page has. What is
found out is remembered for a day, so that only the first request of a page takes longer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from api.compat.sdapi.pictures import Collected, Picture, collect
from api.http.context import caller, stores
from api.jobs.submission import submit_all
from schemas.errors import InputNotOffered
from schemas.jobs.job import Job, JobRequest
from schemas.jobs.sdapi.translation import AUTOMATIC1111
from schemas.sites.input_aliases import find_input
from schemas.sites.missing_fields import missing_input
from schemas.sites.recipe import Recipe

# Each attempt finds one missing field.
MAX_ATTEMPTS = 8
# Without these inputs, the picture would not be the requested one.
NEEDED_TARGETS = ("image", "mask", "model")


@dataclass(slots=True)
class Outcome:
    """What became of a request: for each picture its last job, and the inputs that were left out on the way."""

    jobs: list[Job]
    is_replayed: bool
    found: Collected = field(default_factory=Collected)
    absent: set[str] = field(default_factory=set)

    @property
    def pictures(self) -> list[Picture]:
        """The pictures in the order of their jobs."""
        return [picture for job in self.jobs for picture in self.found.pictures.get(job.id, ())]

    @property
    def failed(self) -> list[Job]:
        """The jobs that failed in the end."""
        return [self.found.failed[job.id] for job in self.jobs if job.id in self.found.failed]


def make_pictures(recipe: Recipe, requests: Sequence[JobRequest], prompt: str, *, with_bytes: bool) -> Outcome:
    """Submit the jobs of a request and wait for their pictures; raises as ``submit_all`` and ``collect``."""
    accepted = submit_all(caller(), requests)
    outcome = Outcome([each.job for each in accepted], accepted[0].replayed)
    submitted, pending = list(requests), list(range(len(requests)))
    ids = [job.id for job in outcome.jobs]
    for attempt in range(1, MAX_ATTEMPTS + 1):
        stores().request_groups.add(caller().id, ids)
        open_jobs = [outcome.jobs[index] for index in pending]
        collect(outcome.found, open_jobs, recipe, prompt, with_bytes=with_bytes)
        missing = {index: name for index in pending if (name := _missing_input(recipe, outcome, index))}
        if not missing or attempt == MAX_ATTEMPTS:
            break
        outcome.absent |= _with_partners(recipe, set(missing.values()))
        stores().absent_inputs.add(recipe, outcome.absent)
        pending = list(missing)
        for index in pending:
            submitted[index] = without_inputs(submitted[index], outcome.absent)
        again = submit_all(caller(), [submitted[index] for index in pending], first_part=attempt * len(requests) + 1)
        for index, each in zip(pending, again, strict=True):
            outcome.jobs[index] = each.job
            ids.append(each.job.id)
    return outcome


def known_absent(recipe: Recipe) -> frozenset[str]:
    """Return the inputs that can be left out because the recipe's page is known to lack them."""
    return frozenset(name for name in stores().absent_inputs.read(recipe) if _is_optional(recipe, name))


def without_inputs(request: JobRequest, names: Collection[str]) -> JobRequest:
    """Return the request without these inputs."""
    return replace(request, inputs={name: value for name, value in request.inputs.items() if name not in names})


def client_fields(recipe: Recipe, inputs: Collection[str]) -> list[str]:
    """Return the names that inputs have in this API."""
    return [
        each.name
        for each in AUTOMATIC1111.fields
        if each.is_input and next((own for own in each.own_names() if own in recipe.inputs), None) in inputs
    ]


def _missing_input(recipe: Recipe, outcome: Outcome, index: int) -> str | None:
    """Return the input without which the job of a picture can be tried again."""
    failed = outcome.found.failed.get(outcome.jobs[index].id)
    if failed is None or failed.error is None or failed.error.code != InputNotOffered.code:
        return None
    name = missing_input(failed.error.message)
    return name if name and name in failed.request.inputs and _is_optional(recipe, name) else None


def _is_optional(recipe: Recipe, name: str) -> bool:
    spec = recipe.inputs.get(name)
    return spec is not None and not spec.required and name not in [find_input(recipe, each) for each in NEEDED_TARGETS]


def _with_partners(recipe: Recipe, names: set[str]) -> set[str]:
    """Return the names, with the height for each width and the reverse: a page has both or neither."""
    size = {name for target in ("width", "height") if (name := find_input(recipe, target))}
    return names | size if names & size else names
