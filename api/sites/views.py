"""The description of sites to clients: what each accepts."""

from dataclasses import asdict
from typing import Any

from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RoutePolicy
from api.sites.site_queries import site_choices
from schemas.accounts.caller import Scope
from schemas.errors import NotFound
from schemas.fields import to_camel_case
from schemas.sites.recipe import InputSpec, Recipe
from stores.sites.canaries import CanaryOutcome
from stores.sites.circuit_breakers import CircuitBreaker

blueprint = Blueprint(
    "sites", __name__, access=Access.KEY, url_prefix="/api/v1/sites", description="Sites and the inputs they accept."
)


@blueprint.route("")
@blueprint.response(200, description="`sites`: every site; `default` names the one that jobs get when they name none.")
def listing() -> Response:
    """All sites."""
    recipes = stores().recipes
    circuits = stores().circuit_breakers.read([recipe.name for recipe in recipes.list_all()])
    shown = [site_view(recipe, circuits[recipe.name]) for recipe in recipes.list_all()]
    return jsonify({"default": recipes.default.name, "sites": shown})


@blueprint.route("/<name>")
@blueprint.response(200, description="The site, with the type and range of each input.")
def read(name: str) -> Response:
    """One site."""
    return _site_response(_find_recipe(name))


@blueprint.route("/<name>/circuit/close", methods=["POST"], policy=RoutePolicy(scope=Scope.ADMIN))
@blueprint.response(200, description="The site; its waiting jobs start again.")
@blueprint.alt_response(403, description="Only a key with the scope `admin` may.")
def close_circuit(name: str) -> Response:
    """Close a site's circuit by hand, once you have seen to what was wrong."""
    recipe = _find_recipe(name)
    stores().circuit_breakers.close(recipe.name)
    return _site_response(recipe)


def _find_recipe(name: str) -> Recipe:
    for recipe in stores().recipes.list_all():
        if recipe.name == name:
            return recipe
    raise NotFound(f"There is no site {name[:60]!r} here.")


def _site_response(recipe: Recipe) -> Response:
    about = site_view(recipe, stores().circuit_breakers.read([recipe.name])[recipe.name])
    for name, choices in site_choices(recipe).items():
        about["inputs"][to_camel_case(name)]["enum"] = choices
    drift = [asdict(change) for change in stores().selector_drift.list_changes(recipe.name)]
    outcome = stores().canaries.read_outcomes([recipe.name])[recipe.name]
    return jsonify(
        about
        | {"drift": drift, "matched": stores().selector_drift.get_matches(recipe.name), "canary": canary_view(outcome)}
    )


def canary_view(outcome: CanaryOutcome | None) -> dict[str, Any] | None:
    """How the last canary ended, as clients see it; None if there has been none."""
    return asdict(outcome) if outcome else None


def circuit_view(circuit: CircuitBreaker) -> dict[str, Any]:
    """A circuit as clients see it: ``closed``, or ``open`` with when, why and what comes next."""
    if not circuit.is_open:
        return {"state": "closed", "failures": circuit.failures}
    return {
        "state": "open",
        "failures": circuit.failures,
        "openedAt": circuit.opened_at,
        "retryAt": circuit.retry_at,
        "code": circuit.code,
        "error": circuit.error,
    }


def site_view(recipe: Recipe, circuit: CircuitBreaker) -> dict[str, Any]:
    """A site as the API shows it."""
    return {
        "circuit": circuit_view(circuit),
        "name": recipe.name,
        "title": recipe.title,
        "description": recipe.description,
        "bundled": recipe.bundle is not None,
        "hasLoras": recipe.loras is not None,
        "tested": {"with": recipe.tested.with_, "real": recipe.tested.real} if recipe.tested else None,
        "consent": {
            "ownership": recipe.consent.ownership,
            "termsUrl": recipe.consent.terms_url,
            "given": stores().accepted_terms.is_accepted(recipe),
        },
        "needsLogin": recipe.session.required,
        "canaryEverySeconds": recipe.canary.every_s if recipe.canary else None,
        "inputs": {to_camel_case(name): _input_view(one) for name, one in recipe.inputs.items()},
        "limits": {
            "concurrency": recipe.limits.concurrency or None,
            "minIntervalSeconds": recipe.limits.min_interval_s,
            "daily": recipe.limits.daily or None,
        },
    }


def _input_view(input_: InputSpec) -> dict[str, Any]:
    about = {
        "type": input_.type,
        "description": input_.label,
        "minimum": input_.minimum,
        "maximum": input_.maximum,
        "multipleOf": input_.multiple_of,
        "maxLength": input_.max_length,
        "enum": list(input_.choices) or None,
        "default": input_.default,
    }
    return {name: value for name, value in about.items() if value not in (None, "")}
