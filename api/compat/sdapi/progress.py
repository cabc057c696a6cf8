"""``progress``, ``interrupt`` and ``skip``: about the caller's oldest request of this API that has not ended."""

import base64
from typing import Any

from flask import Response, jsonify, request

from api.compat.sdapi.surface import sdapi_blueprint
from api.http.context import caller, stores
from api.http.route_policy import RateLimit, RoutePolicy
from schemas.accounts.caller import Scope
from schemas.errors import Invalid
from schemas.jobs.job import Job, QueueEstimate
from schemas.jobs.sdapi.generation_info import timestamp
from schemas.jobs.sdapi.views import EMPTY_OBJECT, NULL, SdapiProgress
from stores.compat.request_groups import RequestGroup

TRUE_VALUES, FALSE_VALUES = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
# The progress that clients see of a running job without progress.
BEGUN = 0.01
POLLED = RoutePolicy(rate_limit=RateLimit.STATUS, is_logged=False)
CONTROL = RoutePolicy(scope=Scope.GENERATE)

blueprint = sdapi_blueprint("progress")


@blueprint.route("/progress", policy=POLLED)
@blueprint.doc(
    parameters=[
        {
            "in": "query",
            "name": "skip_current_image",
            "schema": {"type": "boolean"},
            "description": "Leave out the preview.",
        }
    ]
)
@blueprint.response(200, SdapiProgress)
@blueprint.alt_response(422, description="`skip_current_image` is no truth value.")
def read_progress() -> Response:
    """The progress of your request of `txt2img` or `img2img`; without one, 0 and a `job_count` of 0."""
    skips_image = _flag("skip_current_image")
    group = stores().request_groups.find_current(caller().id)
    if group is None:
        return jsonify(_view(0.0, 0.0, _state(None), None, None))
    return jsonify(_group_view(group, skips_image=skips_image))


@blueprint.route("/interrupt", methods=["POST"], policy=CONTROL)
@blueprint.response(200, EMPTY_OBJECT, description="`{}`, also if there was nothing to interrupt.")
def interrupt() -> Response:
    """Cancel all jobs of your request that runs; it is answered with the pictures that it has."""
    group = stores().request_groups.find_current(caller().id)
    for job in group.open_jobs if group else ():
        stores().jobs.cancel(job.id)
    return jsonify({})


@blueprint.route("/skip", methods=["POST"], policy=CONTROL)
@blueprint.response(200, NULL, description="`null`, also if there was nothing to skip.")
def skip() -> Response:
    """Cancel the job of your request that runs; its further jobs go on."""
    group = stores().request_groups.find_current(caller().id)
    if group:
        stores().jobs.cancel(group.present[0].id)
    return jsonify(None)


def _group_view(group: RequestGroup, *, skips_image: bool) -> dict[str, Any]:
    job, estimate = group.present
    done = len(group.jobs) - len(group.open_jobs)
    part = job.progress.percentage / 100 if job.progress else 0.0
    progress = min(1.0, max(BEGUN, (done + part) / len(group.jobs)))
    preview = None if skips_image or not job.preview_version else stores().results.get_preview(job.id)
    image = base64.b64encode(preview).decode() if preview else None
    return _view(progress, _eta_s(group), _state(group), image, _text(estimate))


def _view(progress: float, eta_s: float, state: dict[str, Any], image: str | None, text: str | None) -> dict[str, Any]:
    return {
        "progress": progress,
        "eta_relative": eta_s,
        "state": state,
        "current_image": image,
        "textinfo": text,
    }


def _state(group: RequestGroup | None) -> dict[str, Any]:
    """Return the state of the program; ``job_count`` is 0 while it has nothing to do."""
    job = group.present[0] if group else None
    step, steps = (job.progress.step, job.progress.steps) if job and job.progress else (None, None)
    is_interrupted = group is not None and all(each.cancel_requested_at for each in group.open_jobs)
    return {
        "skipped": False,
        "interrupted": is_interrupted,
        "stopping_generation": False,
        "job": _job_name(job) if job else "",
        "job_count": len(group.jobs) if group else 0,
        "job_timestamp": timestamp(job.start_time) if job else "0",
        "job_no": len(group.jobs) - len(group.open_jobs) if group else 0,
        "sampling_step": step or 0,
        "sampling_steps": steps or 0,
    }


def _job_name(job: Job) -> str:
    recipe = stores().recipes.get(job.request.site)
    return "scripts_img2img" if recipe.image_inputs.keys() & job.request.inputs.keys() else "scripts_txt2img"


def _eta_s(group: RequestGroup) -> float:
    """Return the seconds until the last job ends, as far as they can be estimated."""
    now_ms = stores().clock.now_ms()
    etas = [
        estimate.eta_s(job, stores().recipes.get_limits(job.request.site), now_ms)
        for job, estimate in group.jobs
        if not job.state.is_final
    ]
    return round(max((eta for eta in etas if eta is not None), default=0.0), 2)


def _text(estimate: QueueEstimate) -> str | None:
    return None if estimate.position is None else f"In queue: position {estimate.position}"


def _flag(name: str) -> bool:
    text = request.args.get(name, "false").lower()
    if text not in TRUE_VALUES + FALSE_VALUES:
        raise Invalid(problems=[f"{name}: Not a valid boolean."])
    return text in TRUE_VALUES
