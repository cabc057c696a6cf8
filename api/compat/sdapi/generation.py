"""``txt2img`` and ``img2img``: the request is answered when its jobs have ended, with their pictures.

Each picture is a job of its own with the next seed. Jobs that fail cost only their own pictures: the answer has the
others, and names the failures under ``darkroom`` in ``info``. Without any picture the answer is the first failure.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response
from flask.json import dumps
from marshmallow import Schema

from api.compat.sdapi.attempts import Outcome, client_fields, known_absent, make_pictures, without_inputs
from api.compat.sdapi.model_choice import find_model, with_picture_input
from api.compat.sdapi.options import change, kept_options, parse_option
from api.compat.sdapi.pictures import Picture
from api.compat.sdapi.surface import json_object, sdapi_blueprint
from api.http.context import caller, stores
from api.http.route_policy import SUBMISSION
from api.jobs.completion import job_failure
from api.jobs.hang_up import CANCEL_PARAMETER
from api.jobs.submission import IDEMPOTENCY_KEY, SUBMISSION_ERRORS, idempotency_key
from api.sites.site_queries import known_choices, site_choices
from ops.infra.version import VERSION
from schemas.errors import Cancelled, Conflict, Gone, Invalid, NotFound, SiteSlow, SiteUnavailable
from schemas.jobs.batches import MAX_SEED, split_batch
from schemas.jobs.job import JobRequest, load_job_request
from schemas.jobs.sdapi.client_options import HONOURED
from schemas.jobs.sdapi.generation_info import build_info, build_parameters
from schemas.jobs.sdapi.requests import MAX_JOBS_PER_REQUEST, SdapiImageToImage, SdapiTextToImage, load_body
from schemas.jobs.sdapi.sampler_names import is_unspecified
from schemas.jobs.sdapi.translation import OPTION_MODEL, Translation, translate_generation
from schemas.jobs.sdapi.validation_errors import ScriptNotFound
from schemas.jobs.sdapi.views import SdapiPictures
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

# Making an instance takes longer than a request may.
TEXT_SCHEMA, IMAGE_SCHEMA = SdapiTextToImage(), SdapiImageToImage()
TEXT_BODY = {"required": True, "content": {"application/json": {"schema": SdapiTextToImage}}}
IMAGE_BODY = {"required": True, "content": {"application/json": {"schema": SdapiImageToImage}}}
# Why a job may end without a picture, by status; NOT_ACCEPTED is one more.
JOB_ERRORS = (Conflict, SiteUnavailable, SiteSlow)
NOT_ACCEPTED = "A field is not valid, the site does not accept a value, or it has refused the prompt."

blueprint = sdapi_blueprint("generation")


@dataclass(frozen=True, slots=True)
class Order:
    """A parsed request: its body, its site, the translated generation, and the inputs that the page lacks."""

    body: Mapping[str, Any]
    recipe: Recipe
    translation: Translation
    absent: frozenset[str]


@blueprint.route("/txt2img", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody=TEXT_BODY, parameters=[IDEMPOTENCY_KEY, CANCEL_PARAMETER])
@blueprint.response(200, SdapiPictures)
@blueprint.alt_response(422, description=NOT_ACCEPTED)
@blueprint.sends(*SUBMISSION_ERRORS, *JOB_ERRORS)
def text_to_image() -> Response:
    """Make pictures of a prompt, and wait for them."""
    return _answer(_read_order(TEXT_SCHEMA))


@blueprint.route("/img2img", methods=["POST"], policy=SUBMISSION)
@blueprint.doc(requestBody=IMAGE_BODY, parameters=[IDEMPOTENCY_KEY, CANCEL_PARAMETER])
@blueprint.response(200, SdapiPictures)
@blueprint.alt_response(404, description="There is no picture in `init_images`, or no such LoRA.")
@blueprint.alt_response(422, description=NOT_ACCEPTED)
@blueprint.sends(*SUBMISSION_ERRORS, *JOB_ERRORS)
def image_to_image() -> Response:
    """Make pictures of a prompt and of pictures, and wait for them."""
    return _answer(_read_order(IMAGE_SCHEMA, needs_picture=True))


def _read_order(schema: Schema, *, needs_picture: bool = False) -> Order:
    """Parse the body of the current request.

    Raises:
        Invalid: a field is malformed, or the site does not accept it.
        NotFound: there is no picture though one is needed.
    """
    raw = json_object()
    body = load_body(schema, raw)
    _refuse_scripts(body)
    if needs_picture and not body.get("init_images"):
        raise NotFound("Init image not found")
    overrides = {name: parse_option(name, value) for name, value in _honoured(body).items()}
    options = {name: value for name, value in (kept_options() | overrides).items() if value is not None}
    choice = find_model(options.get(OPTION_MODEL, ""))
    if needs_picture:
        choice = with_picture_input(choice)
    recipe = choice.recipe
    translation = translate_generation(
        recipe, body, raw=raw, options=options, model=choice.model, choices=_choices(recipe, body)
    )
    if body.get("override_settings_restore_afterwards") is False:
        change(_honoured(body))
    # A request with an idempotency key is repeated unchanged, even if the absent inputs are known by now.
    absent = frozenset() if idempotency_key(caller()) else known_absent(recipe)
    return Order(body, recipe, translation, absent)


def _honoured(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options for this request only that have an effect."""
    return {name: value for name, value in body.get("override_settings", {}).items() if name in HONOURED}


def _refuse_scripts(body: Mapping[str, Any]) -> None:
    if body.get("script_name"):
        raise ScriptNotFound(f"Script {body['script_name']!r} not found")
    for name in body.get("alwayson_scripts", {}):
        raise ScriptNotFound(f"always on script {name[:100]} not found")


def _choices(recipe: Recipe, body: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """Return the choices of the recipe's inputs; read those from the page that the request needs and are unknown."""
    declared = {name: spec.choices for name, spec in recipe.inputs.items() if spec.choices}
    known = known_choices(recipe)
    fields = {"sampler": body.get("sampler_name") or body.get("sampler_index"), "scheduler": body.get("scheduler")}
    needed = [find_input(recipe, target) for target, value in fields.items() if not is_unspecified(value)]
    if any(name and recipe.inputs[name].choices_from and name not in known for name in needed):
        known = site_choices(recipe)
    return {**known, **declared}


def _job_requests(order: Order) -> list[JobRequest]:
    """Return a job for each picture; they begin with the pictures of the request in turn.

    Raises:
        Invalid: there are too many, or a picture is malformed.
    """
    body, translation, recipe = order.body, order.translation, order.recipe
    count = max(body.get("batch_size", 1) * body.get("n_iter", 1), len(translation.pictures))
    if count > MAX_JOBS_PER_REQUEST:
        raise Invalid(problems=[f"n_iter: at most {MAX_JOBS_PER_REQUEST} pictures for one request."])
    key = idempotency_key(caller())
    # The same request with the same key is the same, also in what it leaves to chance.
    rng = random.Random(f"{caller().id} {key}" if key else None)
    inputs = _with_seed(recipe, translation.inputs, rng)
    pictures = _pictures(recipe, translation)
    requests = []
    for number, part in enumerate(split_batch(recipe, inputs, count, rng=rng, one_each=True)):
        own = part.inputs | (pictures[number % len(pictures)] if pictures else {})
        fields = {"prompt": translation.prompt, "site": recipe.name, "lora": translation.lora, "inputs": own}
        requests.append(without_inputs(load_job_request(fields), order.absent))
    return requests


def _with_seed(recipe: Recipe, inputs: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """Return the inputs with a seed, if the site takes one: clients read it in the answer."""
    name = find_input(recipe, "seed")
    if name is None or name in inputs or recipe.inputs[name].type != "integer":
        return dict(inputs)
    spec = recipe.inputs[name]
    largest = MAX_SEED if spec.maximum is None else int(spec.maximum)
    return {**inputs, name: rng.randint(max(0, int(spec.minimum or 0)), largest)}


def _pictures(recipe: Recipe, translation: Translation) -> list[dict[str, Any]]:
    """Return the input of each picture of a request, which the jobs that begin with it share."""
    name = find_input(recipe, "image")
    if name is None or not translation.pictures:
        return []
    others = (recipe.validate_inputs({name: url})[name] for url in translation.pictures[1:])
    return [{name: picture} for picture in (translation.inputs[name], *others)]


def _answer(order: Order) -> Response:
    body, recipe = order.body, order.recipe
    with_images = body.get("send_images", True)
    outcome = make_pictures(recipe, _job_requests(order), body["prompt"], with_bytes=with_images)
    pictures = outcome.pictures
    if not pictures:
        _raise_failure(outcome)
    infos = [picture.info for picture in pictures]
    notes = _notes(order, outcome)
    info = build_info(recipe, infos, body, version=VERSION, notes=notes, now_ms=stores().clock.now_ms())
    rest = {"parameters": build_parameters(body), "info": info}
    parts = list(_answer_parts(recipe, pictures if with_images else (), rest))
    answer = Response(parts, mimetype="application/json")
    if outcome.is_replayed:
        answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _answer_parts(recipe: Recipe, pictures: Sequence[Picture], rest: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield an answer as JSON. Base64 has nothing to be escaped, and looking for that would take the longest."""
    yield b'{"images": ['
    for number, picture in enumerate(pictures):
        yield b', "' if number else b'"'
        yield picture.encode(recipe)
        yield b'"'
        # Other requests of this process go on between two pictures.
        time.sleep(0)
    yield b"], " + dumps(rest).encode()[1:]


def _notes(order: Order, outcome: Outcome) -> dict[str, Any]:
    """Return what only Darkroom says of an answer."""
    failures = [
        {"job": job.id, "code": job.error.code, "message": job.error.message} for job in outcome.failed if job.error
    ]
    absent = client_fields(order.recipe, order.absent | outcome.absent)
    ignored = [*order.translation.ignored, *(name for name in absent if name in order.body)]
    ids = [job.id for job in outcome.jobs]
    return {"jobs": ids, "ignored": list(dict.fromkeys(ignored)), "failures": failures}


def _raise_failure(outcome: Outcome) -> None:
    """Raise the error of the first job that failed without an interruption."""
    for job in outcome.failed:
        if job.error and job.error.code == Gone.code and job.results:
            # Jobs that have waited too long have the same code.
            raise Gone(job.error.message, jobId=job.id)
        if job.error and job.error.code != Cancelled.code:
            raise job_failure(job)
