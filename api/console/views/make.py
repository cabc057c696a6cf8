"""The Make section: a form from a site's inputs, the picture that is being made, and the latest pictures."""

import re
from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify, request
from werkzeug.datastructures import MultiDict

from api.console.page import render, section_blueprint
from api.console.sections import MAKE
from api.http.context import caller, own_job, stores
from api.jobs.serializers import native_job
from api.sites.serializers import input_view
from api.sites.site_queries import known_choices, search_loras
from schemas.errors import Gone, NotFound
from schemas.fields import MAX_LORA_NAME_LENGTH, MAX_PROMPT_LENGTH, to_camel_case
from schemas.gallery.provenance import hide_private
from schemas.sites.recipe import Recipe

MAX_JOBS = 48
MAX_RECENT_PROMPTS = 20
SEED = "seed"

blueprint = section_blueprint("make")


@blueprint.route(MAKE.path)
def make() -> Response:
    """Show the section. ``site``, ``prompt``, ``lora`` and inputs fill the form.

    So does ``from``, the id of a job, or ``token``, the id of a token of the gallery.
    ``job`` is the job whose picture is shown.
    """
    return make_page()


@blueprint.route(f"{MAKE.path}/loras")
def loras() -> Response:
    """Return the LoRAs of a site and of the library that match ``query``, or any, with pictures of this server."""
    recipe = stores().recipes.get(request.args.get("site"))
    found, is_complete = search_loras(recipe, request.args.get("query", "").strip()[:MAX_LORA_NAME_LENGTH])
    views = [{**lora, "image": _own_image(recipe, lora.get("image"))} for lora in found]
    return jsonify({"loras": views, "isComplete": is_complete})


def _own_image(recipe: Recipe, url: str | None) -> str | None:
    """Return the address of a LoRA's picture below this server; None for pictures of other hosts."""
    if not url:
        return None
    if url.startswith("data:image/"):
        return url
    if recipe.bundle and url.startswith(recipe.url):
        return f"/{recipe.bundle}/{url.removeprefix(recipe.url)}"
    public_url = stores().settings.public_url
    return url.removeprefix(public_url) if url.startswith(f"{public_url}/") else None


def make_page() -> Response:
    """Return the page of the section."""
    jobs, next_cursor = stores().jobs.list_page(caller().id, None, MAX_JOBS)
    views = [native_job(stores(), job, estimate) for job, estimate in jobs]
    shown, notice = _find_job(views, request.args.get("job"))
    source, notice_of_source = _find_source(views, request.args)
    wanted = request.args.get("site") or (source or {}).get("site")
    recipe = next((each for each in stores().recipes.list_all() if each.name == wanted), stores().recipes.default)
    return render(
        "make/index.html",
        section=MAKE,
        title=MAKE.title,
        sites=stores().recipes.list_all(),
        site=recipe,
        terms_accepted=stores().accepted_terms.is_accepted(recipe),
        inputs=_inputs(recipe, _values(source, request.args), (source or {}).get("id", "")),
        prompt=request.args.get("prompt", (source or {}).get("prompt", "")),
        lora=request.args.get("lora", (source or {}).get("lora") or ""),
        max_prompt_length=MAX_PROMPT_LENGTH,
        has_seed=SEED in recipe.inputs,
        jobs=views,
        has_more=next_cursor is not None,
        shown=shown,
        notice=notice or notice_of_source,
        recent_prompts=list(dict.fromkeys(view["prompt"] for view in views))[:MAX_RECENT_PROMPTS],
    )


def _find_source(views: list[dict[str, Any]], query: Mapping[str, str]) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return the job, or the kept job of a token, that fills the form, or why it cannot."""
    if "token" not in query:
        return _find_job(views, query.get("from"))
    try:
        token = stores().gallery.tokens.find(query["token"])
    except NotFound:
        return None, "There is no such picture in the gallery."
    is_owner = token.owner == caller().id
    record = hide_private(token.provenance or {}, is_owner=is_owner, is_prompt_private=token.is_prompt_private)
    if not record.get("prompt"):
        return None, "How that picture was made is private, or not known."
    # The seed may be one that the site has drawn: with it the picture is the same.
    seed = {} if record.get("seed") is None else {SEED: record["seed"]}
    return {**record, "site": record["site"]["name"], "inputs": {**record["inputs"], **seed}}, None


def _find_job(views: list[dict[str, Any]], job_id: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """Return the view of a job in the address, or why it cannot be shown."""
    if not job_id:
        return None, None
    for view in views:
        if view["id"] == job_id:
            return view, None
    try:
        job = own_job(job_id)
    except Gone:
        return None, "That picture has expired: it is no longer kept."
    except NotFound:
        return None, "You have no such picture."
    return native_job(stores(), *stores().jobs.get_with_estimate(job.id)), None


def _values(source: Mapping[str, Any] | None, query: MultiDict[str, str]) -> dict[str, Any]:
    """Return the values for the form, those in the address first."""
    return {**(source["inputs"] if source else {}), **query.to_dict()}


def _inputs(recipe: Recipe, values: Mapping[str, Any], job_id: str) -> list[dict[str, Any]]:
    """Return each input of a site as the template shows it; choices that the page lists are those last read from it.

    ``job_id`` is the job whose pictures are in the values.
    """
    live = known_choices(recipe)
    inputs = []
    for name, spec in recipe.inputs.items():
        view = input_view(spec)
        choices = live.get(name) or list(spec.choices)
        value = values.get(to_camel_case(name), spec.default)
        label, help_ = _split_label(name, spec.label)
        other = spec.same_size_as
        inputs.append(
            view
            | {
                "name": to_camel_case(name),
                "label": label,
                "help": help_ or ("" if spec.required or spec.type != "image" else "optional"),
                "choices": choices,
                "is_live": spec.choices_from is not None,
                "value": None if spec.type == "image" else value,
                "job": job_id if spec.type == "image" and isinstance(value, Mapping) else "",
                "random": spec.random,
                "same_size_label": _split_label(other, recipe.inputs[other].label)[0] if other else "",
            }
        )
    return inputs


def _split_label(name: str, label: str) -> tuple[str, str]:
    """Return a label and the explanation that follows it; without a label, the name in words."""
    parts = re.split(r"[;:,]\s+", label, maxsplit=1)
    return parts[0].strip() or name.replace("_", " ").capitalize(), "".join(parts[1:])
