"""The description of sites to clients: what each accepts."""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify
from flask_smorest import Blueprint

from api.http.auth import needs, require_key
from api.http.context import stores
from api.sites.site_queries import site_choices
from schemas.accounts.caller import Scope
from schemas.errors import NotFound
from schemas.fields import camel
from schemas.sites.recipe import Input, Recipe
from stores.sites.canaries import Outcome
from stores.sites.circuit_breakers import Circuit

blueprint = Blueprint("sites", __name__, url_prefix="/api/v1/sites", description="Sites and what they accept.")
blueprint.before_request(require_key)


@blueprint.route("")
@blueprint.response(200, description="`sites`: every site; `default` names the one that jobs get when they name none.")
def listing() -> Response:
    """All sites."""
    recipes = stores().recipes
    circuits = stores().circuits.read([recipe.name for recipe in recipes.all()])
    shown = [_show(recipe, circuits[recipe.name]) for recipe in recipes.all()]
    return jsonify({"default": recipes.default.name, "sites": shown})


@blueprint.route("/<name>")
@blueprint.response(200, description="The site, with the type and range of each input.")
def read(name: str) -> Response:
    """One site."""
    return _answer(_find(name))


@blueprint.route("/<name>/circuit/close", methods=["POST"])
@blueprint.response(200, description="The site; its waiting jobs start again.")
@blueprint.alt_response(403, description="Only a key with the scope `admin` may.")
@needs(Scope.ADMIN)
def close_circuit(name: str) -> Response:
    """Close a site's circuit by hand, once you have seen to what was wrong."""
    recipe = _find(name)
    stores().circuits.close(recipe.name)
    return _answer(recipe)


def _find(name: str) -> Recipe:
    for recipe in stores().recipes.all():
        if recipe.name == name:
            return recipe
    raise NotFound(f"There is no site {name[:60]!r} here.")


def _answer(recipe: Recipe) -> Response:
    about = _show(recipe, stores().circuits.read([recipe.name])[recipe.name])
    for name, choices in site_choices(recipe).items():
        about["inputs"][camel(name)]["enum"] = choices
    drift = [asdict(change) for change in stores().drift.report(recipe.name)]
    outcome = stores().canaries.read([recipe.name])[recipe.name]
    return jsonify(
        about | {"drift": drift, "matched": stores().drift.read(recipe.name), "canary": show_canary(outcome)}
    )


def show_canary(outcome: Outcome | None) -> dict[str, Any] | None:
    """How the last canary ended, as clients see it; None if there has been none."""
    return asdict(outcome) if outcome else None


def show_circuit(circuit: Circuit) -> dict[str, Any]:
    """A circuit as clients see it: ``closed``, or ``open`` with when, why and what comes next."""
    if not circuit.open:
        return {"state": "closed", "failures": circuit.failures}
    return {
        "state": "open",
        "failures": circuit.failures,
        "openedAt": circuit.opened_at,
        "retryAt": circuit.retry_at,
        "code": circuit.code,
        "error": circuit.error,
    }


def _show(recipe: Recipe, circuit: Circuit) -> dict[str, Any]:
    return {
        "circuit": show_circuit(circuit),
        "name": recipe.name,
        "title": recipe.title,
        "description": recipe.description,
        "bundled": recipe.bundle is not None,
        "hasLoras": recipe.loras is not None,
        "tested": {"with": recipe.tested.with_, "real": recipe.tested.real} if recipe.tested else None,
        "consent": {
            "ownership": recipe.consent.ownership,
            "termsUrl": recipe.consent.terms_url,
            "given": stores().consents.given(recipe),
        },
        "needsLogin": recipe.session.required,
        "canaryEverySeconds": recipe.canary.every_s if recipe.canary else None,
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
