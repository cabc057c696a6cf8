"""Owns the description of sites to clients: what each accepts."""

from typing import Any

from flask import Response, jsonify
from flask_smorest import Blueprint

from api.auth import require_key
from api.context import stores
from schemas.errors import NotFound
from schemas.fields import camel
from schemas.sites import Input, Recipe

blueprint = Blueprint("sites", __name__, url_prefix="/api/v1/sites", description="Sites and what they accept.")
blueprint.before_request(require_key)


@blueprint.route("")
@blueprint.response(200, description="`sites`: every site; `default` names the one that jobs get when they name none.")
def listing() -> Response:
    """All sites."""
    recipes = stores().recipes
    return jsonify({"default": recipes.default.name, "sites": [_show(recipe) for recipe in recipes.all()]})


@blueprint.route("/<name>")
@blueprint.response(200, description="The site, with the type and range of each input.")
def read(name: str) -> Response:
    """One site."""
    for recipe in stores().recipes.all():
        if recipe.name == name:
            return jsonify(_show(recipe))
    raise NotFound(f"There is no site {name[:60]!r} here.")


def _show(recipe: Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "title": recipe.title,
        "description": recipe.description,
        "bundled": recipe.bundle is not None,
        "hasLoras": recipe.loras is not None,
        "inputs": {camel(name): _input(one) for name, one in recipe.inputs.items()},
        "limits": {
            "concurrency": recipe.limits.concurrency or None,
            "minIntervalSeconds": recipe.limits.min_interval_s,
            "daily": recipe.limits.daily or None,
        },
    }


def _input(one: Input) -> dict[str, Any]:
    about = {
        "type": one.type,
        "description": one.label,
        "minimum": one.minimum,
        "maximum": one.maximum,
        "multipleOf": one.multiple_of,
        "maxLength": one.max_length,
        "enum": list(one.choices) or None,
        "default": one.default,
    }
    return {name: value for name, value in about.items() if value not in (None, "")}
