"""Lists of what there is to choose from: models, samplers, LoRAs and so on, of the caller's site.

What the program has and a page does not (VAEs, upscalers, scripts, …) is an empty list in its form: clients read these
lists when they connect.
"""

from typing import Any

import psutil
from flask import Response, jsonify

from api.compat.sdapi.model_choice import ModelChoice, find_model, list_models
from api.compat.sdapi.options import shown_options
from api.compat.sdapi.surface import sdapi_blueprint
from api.sites.site_queries import search_loras, site_choices
from ops.infra.version import VERSION
from schemas.errors import Forbidden, Unavailable
from schemas.jobs.sdapi.sampler_names import AUTOMATIC
from schemas.jobs.sdapi.translation import OPTION_MODEL
from schemas.jobs.sdapi.views import (
    EMPTY_LIST,
    EMPTY_OBJECT,
    NULL,
    SdapiEmbeddings,
    SdapiFlags,
    SdapiLora,
    SdapiMemory,
    SdapiModel,
    SdapiSampler,
    SdapiScheduler,
    SdapiScripts,
    SdapiUpscaler,
    SdapiVae,
)
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

NOT_AVAILABLE = {"error": "unavailable"}
# Without it, clients have nothing to show.
NO_UPSCALER = {"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 1.0}

blueprint = sdapi_blueprint("catalogue")


@blueprint.route("/sd-models")
@blueprint.response(200, SdapiModel(many=True))
def models() -> Response:
    """Every site, and `SITE:MODEL` for its checkpoints: each is a value of the option `sd_model_checkpoint`."""
    return jsonify([_model_view(choice) for choice in list_models()])


@blueprint.route("/samplers")
@blueprint.response(200, SdapiSampler(many=True))
def samplers() -> Response:
    """The samplers of your site; `Automatic` is its own choice."""
    names = [AUTOMATIC, *_choices("sampler")]
    return jsonify([{"name": name, "aliases": [], "options": {}} for name in names])


@blueprint.route("/schedulers")
@blueprint.response(200, SdapiScheduler(many=True))
def schedulers() -> Response:
    """The schedulers of your site; `automatic` is its own choice."""
    labels = [AUTOMATIC, *_choices("scheduler")]
    names = [AUTOMATIC.lower(), *labels[1:]]
    return jsonify(
        [
            {"name": name, "label": label, "aliases": None, "default_rho": -1.0, "need_inner_model": False}
            for name, label in zip(names, labels, strict=True)
        ]
    )


@blueprint.route("/sd-vae")
@blueprint.response(200, SdapiVae(many=True))
def vaes() -> Response:
    """The VAEs of your site."""
    return jsonify([{"model_name": name, "filename": name} for name in _choices("vae")])


@blueprint.route("/loras")
@blueprint.response(200, SdapiLora(many=True))
def loras() -> Response:
    """The LoRAs of your site and of the model library, for `<lora:NAME:WEIGHT>` in a prompt."""
    try:
        found, _ = search_loras(_current_site(), "")
    except (Unavailable, Forbidden):
        # The page does not answer now; clients would not connect for that.
        found = []
    return jsonify(
        [
            {"name": lora["name"], "alias": lora["name"], "path": lora["name"], "metadata": _metadata(lora)}
            for lora in found
        ]
    )


@blueprint.route("/upscalers")
@blueprint.response(200, SdapiUpscaler(many=True))
def upscalers() -> Response:
    """The upscalers: `None` only."""
    return jsonify([NO_UPSCALER])


@blueprint.route("/embeddings")
@blueprint.response(200, SdapiEmbeddings)
def embeddings() -> Response:
    """The embeddings: none that are known here."""
    return jsonify({"loaded": {}, "skipped": {}})


@blueprint.route("/scripts")
@blueprint.response(200, SdapiScripts)
def scripts() -> Response:
    """The scripts: none."""
    return jsonify({"txt2img": [], "img2img": []})


@blueprint.route("/latent-upscale-modes", endpoint="latent_upscale_modes")
@blueprint.route("/hypernetworks", endpoint="hypernetworks")
@blueprint.route("/face-restorers", endpoint="face_restorers")
@blueprint.route("/realesrgan-models", endpoint="realesrgan_models")
@blueprint.route("/prompt-styles", endpoint="prompt_styles")
@blueprint.route("/script-info", endpoint="script_info")
@blueprint.route("/extensions", endpoint="extensions")
@blueprint.response(200, EMPTY_LIST, description="An empty list.")
def nothing() -> Response:
    """What only the program itself has."""
    return jsonify([])


@blueprint.route("/cmd-flags")
@blueprint.response(200, SdapiFlags)
def flags() -> Response:
    """How the program was started."""
    return jsonify({"api": True, "nowebui": True, "listen": False, "api_auth": None, "darkroom": VERSION})


@blueprint.route("/memory")
@blueprint.response(200, SdapiMemory)
def memory() -> Response:
    """The memory of this machine."""
    ram = psutil.virtual_memory()
    return jsonify(
        {"ram": {"free": ram.available, "used": ram.total - ram.available, "total": ram.total}, "cuda": NOT_AVAILABLE}
    )


@blueprint.route("/refresh-checkpoints", methods=["POST"], endpoint="refresh_checkpoints")
@blueprint.route("/refresh-vae", methods=["POST"], endpoint="refresh_vae")
@blueprint.route("/refresh-loras", methods=["POST"], endpoint="refresh_loras")
@blueprint.response(200, NULL, description="`null`.")
def refresh() -> Response:
    """Read the site's choices again if the known ones are older than five minutes."""
    site_choices(_current_site())
    return jsonify(None)


@blueprint.route("/unload-checkpoint", methods=["POST"], endpoint="unload_checkpoint")
@blueprint.route("/reload-checkpoint", methods=["POST"], endpoint="reload_checkpoint")
@blueprint.response(200, EMPTY_OBJECT, description="`{}`: pages load their models themselves.")
def load_model() -> Response:
    """Load or unload the model, which pages do themselves."""
    return jsonify({})


def _current_site() -> Recipe:
    return find_model(shown_options().get(OPTION_MODEL, "")).recipe


def _choices(target: str) -> list[str]:
    """Return the choices of the input that the caller's site has for a target."""
    recipe = _current_site()
    name = find_input(recipe, target)
    if name is None:
        return []
    return list(recipe.inputs[name].choices) or site_choices(recipe).get(name, [])


def _model_view(choice: ModelChoice) -> dict[str, Any]:
    return {
        "title": choice.title,
        "model_name": choice.title,
        "hash": None,
        "sha256": None,
        "filename": choice.title,
        "config": None,
    }


def _metadata(lora: dict[str, Any]) -> dict[str, Any]:
    return {"description": lora.get("description") or "", "tags": lora.get("tags") or []}
