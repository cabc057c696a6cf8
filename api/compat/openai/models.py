"""The sites as models: ``GET /v1/models``."""

from collections.abc import Iterator
from typing import Any

from flask import Response, jsonify

from api.compat.openai.blueprint import openai_blueprint
from api.http.context import stores
from schemas.errors import NotFound
from schemas.jobs.openai_requests import MODEL_SEPARATOR, split_model
from schemas.jobs.openai_views import ModelListView, ModelView
from schemas.sites.input_aliases import find_input
from schemas.sites.recipe import Recipe

OWNER = "darkroom"

blueprint = openai_blueprint("openai_models", "/v1/models", "OpenAI's API: the sites as models.")


@blueprint.route("")
@blueprint.response(200, ModelListView)
def list_models() -> Response:
    """All sites, each as a model, and `SITE:MODEL` for the models of a site that lists them."""
    models = [_view(name) for recipe in stores().recipes.list_all() for name in _model_names(recipe)]
    return jsonify({"object": "list", "data": models})


@blueprint.route("/<path:model>")
@blueprint.response(200, ModelView)
def read_model(model: str) -> Response:
    """One site as a model."""
    sites = [recipe.name for recipe in stores().recipes.list_all()]
    site, own_model = split_model(model, sites)
    recipe = stores().recipes.get(site)
    if site is None or (own_model and find_input(recipe, "model") is None):
        raise NotFound(f"The model {model[:100]!r} does not exist.", model=model[:100])
    return jsonify(_view(model))


def _model_names(recipe: Recipe) -> Iterator[str]:
    yield recipe.name
    if own := find_input(recipe, "model"):
        yield from (f"{recipe.name}{MODEL_SEPARATOR}{choice}" for choice in recipe.inputs[own].choices)


def _view(name: str) -> dict[str, Any]:
    # Recipes have no date.
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}
