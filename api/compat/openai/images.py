"""Generations and edits: requests for pictures that are answered with the pictures.

A request is submitted as one job or several, like any other; the answer waits for their end.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from flask import Response

from api.compat.openai.blueprint import jobs_header, openai_blueprint, remember_jobs
from api.compat.openai.forms import EDIT_FORM
from api.compat.openai.pictures import Expected, answer_json, read_together
from api.compat.openai.streaming import stream_pictures
from api.http.context import caller, stores
from api.http.route_policy import SUBMISSION
from api.http.sse import STREAM, sse_response
from api.jobs.completion import follow_own_jobs, wait_for_own_jobs
from api.jobs.hang_up import CANCEL_PARAMETER
from api.jobs.job_bodies import form_fields, is_form, json_body
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, idempotency_key, submit_all
from schemas.errors import Conflict, Invalid, SiteRefused, SiteSlow, SiteUnavailable
from schemas.jobs.batches import BatchPart, split_batch
from schemas.jobs.job import JobRequest
from schemas.jobs.openai_requests import (
    OPENAI,
    ImagesRequest,
    ImagesRequestSchema,
    load_images_request,
    split_model,
)
from schemas.jobs.openai_views import ImagesView
from schemas.sites.input_aliases import translate
from schemas.sites.recipe import Recipe

# Why a job may end without a picture, by status.
JOB_ERRORS = (Conflict, SiteRefused, SiteSlow, SiteUnavailable)
GENERATION, EDIT = "image_generation", "image_edit"
HEADERS = [IDEMPOTENCY_KEY, CANCEL_PARAMETER]
ANSWERED = "The pictures; with `stream`, server-sent events."
REPLAY_HEADER = {"Idempotent-Replayed": "true"}

blueprint = openai_blueprint("openai_images", "/v1/images", "OpenAI's Images API, for its existing clients.")


@blueprint.route("/generations", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(
    requestBody={"required": True, "content": {"application/json": {"schema": ImagesRequestSchema}}},
    parameters=HEADERS,
)
@blueprint.response(200, ImagesView, description=ANSWERED)
@blueprint.alt_response(200, schema=STREAM, content_type="text/event-stream", description=ANSWERED)
@blueprint.sends(*SUBMISSION_ERRORS, *JOB_ERRORS)
def generate_images() -> Response:
    """Make pictures and return them. `model` is a site, or `SITE:MODEL`; further fields are inputs of the site.

    With `stream`, the events are `image_generation.partial_image` and `image_generation.completed`.
    """
    with _body_fields() as fields:
        request = load_images_request(fields)
        expected, headers = _submit(request)
    return _answer(GENERATION, request, expected, headers)


@blueprint.route("/edits", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(
    requestBody={
        "required": True,
        "content": {
            "multipart/form-data": {"schema": EDIT_FORM},
            "application/json": {"schema": ImagesRequestSchema},
        },
    },
    parameters=HEADERS,
)
@blueprint.response(200, ImagesView, description=ANSWERED)
@blueprint.alt_response(200, schema=STREAM, content_type="text/event-stream", description=ANSWERED)
@blueprint.sends(*SUBMISSION_ERRORS, *JOB_ERRORS)
def edit_images() -> Response:
    """Make pictures from pictures, on a site that takes them: `image` or `image[]`, and `mask`, as files of a form.

    Transparent parts of the mask are repainted. With `stream`, the events are `image_edit.partial_image` and
    `image_edit.completed`.
    """
    with _body_fields() as fields:
        request = load_images_request(fields, needs_image=True)
        expected, headers = _submit(request)
    return _answer(EDIT, request, expected, headers)


@contextmanager
def _body_fields() -> Iterator[dict[str, Any]]:
    if is_form():
        with form_fields() as fields:
            yield fields
    else:
        yield json_body()


def _submit(request: ImagesRequest) -> tuple[list[Expected], dict[str, str]]:
    """Submit the jobs of a request; return them with the headers of its answer."""
    recipes = stores().recipes
    site, model = split_model(request.model, [recipe.name for recipe in recipes.list_all()])
    recipe = recipes.get(site)
    inputs = translate(OPENAI, recipe, request.sent_fields(recipe, model)).inputs
    parts = _parts(request, recipe, inputs)
    accepted = submit_all(
        caller(),
        [
            JobRequest(recipe.name, request.prompt, request.lora, part.inputs, request.priority, request.webhook)
            for part in parts
        ],
    )
    remember_jobs([each.job for each in accepted])
    headers = jobs_header() | (REPLAY_HEADER if all(each.replayed for each in accepted) else {})
    expected = [Expected(each.job, part.pictures) for each, part in zip(accepted, parts, strict=True)]
    return expected, headers


def _parts(request: ImagesRequest, recipe: Recipe, inputs: Mapping[str, Any]) -> list[BatchPart]:
    # The same key has to make the same request again, seeds included.
    rng = random.Random(idempotency_key(caller()))
    # Only the first picture of a job is converted.
    parts = split_batch(recipe, inputs, request.count, rng=rng, one_each=bool(request.output_format))
    if request.output_format and any(part.pictures > 1 for part in parts):
        raise Invalid(problems=["output_format: cannot convert several pictures of one job; request them with 'n'."])
    return parts


def _answer(kind: str, request: ImagesRequest, expected: list[Expected], headers: Mapping[str, str]) -> Response:
    jobs = [each.job for each in expected]
    if request.stream:
        events = stream_pictures(stores(), kind, request, expected, follow_own_jobs(jobs))
        response = sse_response(events)
        response.headers.update(headers)
        return response
    ended = wait_for_own_jobs(jobs)
    completed = [Expected(job, each.pictures) for job, each in zip(ended, expected, strict=True)]
    body = answer_json(request, int(time.time()), read_together(stores(), request, completed))
    return Response(body, mimetype="application/json", headers=dict(headers))
