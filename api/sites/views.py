"""Views that describe sites: their inputs, limits, circuit breakers, canaries and selector drift."""

from dataclasses import asdict

from flask import Response, jsonify

from api.http.blueprint import Blueprint
from api.http.context import stores
from api.http.route_policy import Access, RoutePolicy
from api.sites.responses import SiteDetailView, SiteList
from api.sites.serializers import canary_view, site_view
from api.sites.site_queries import site_choices
from schemas.accounts.caller import Scope
from schemas.errors import NotFound
from schemas.fields import to_camel_case
from schemas.sites.recipe import Recipe

blueprint = Blueprint(
    "sites", __name__, access=Access.KEY, url_prefix="/api/v1/sites", description="Sites and the inputs they accept."
)


@blueprint.route("")
@blueprint.response(200, SiteList)
def listing() -> Response:
    """All sites."""
    recipes, terms = stores().recipes, stores().accepted_terms
    circuits = stores().circuit_breakers.read([recipe.name for recipe in recipes.list_all()])
    sites = [
        site_view(recipe, circuits[recipe.name], terms_accepted=terms.is_accepted(recipe))
        for recipe in recipes.list_all()
    ]
    return jsonify({"default": recipes.default.name, "sites": sites})


@blueprint.route("/<name>")
@blueprint.response(200, SiteDetailView, description="The site, with the type and range of each input.")
def read(name: str) -> Response:
    """One site."""
    return _site_response(_find_recipe(name))


@blueprint.route("/<name>/circuit/close", methods=["POST"], policy=RoutePolicy(scope=Scope.ADMIN))
@blueprint.response(200, SiteDetailView, description="The site; its waiting jobs start again.")
@blueprint.alt_response(403, description="The key lacks the scope `admin`.")
def close_circuit(name: str) -> Response:
    """Close a site's circuit breaker by hand, once the cause is fixed."""
    recipe = _find_recipe(name)
    stores().circuit_breakers.close(recipe.name)
    return _site_response(recipe)


def _find_recipe(name: str) -> Recipe:
    for recipe in stores().recipes.list_all():
        if recipe.name == name:
            return recipe
    raise NotFound(f"There is no site {name[:60]!r} here.")


def _site_response(recipe: Recipe) -> Response:
    circuit = stores().circuit_breakers.read([recipe.name])[recipe.name]
    view = site_view(recipe, circuit, terms_accepted=stores().accepted_terms.is_accepted(recipe))
    for name, choices in site_choices(recipe).items():
        view["inputs"][to_camel_case(name)]["enum"] = choices
    view["drift"] = [asdict(change) for change in stores().selector_drift.list_changes(recipe.name)]
    view["matched"] = stores().selector_drift.get_matches(recipe.name)
    view["canary"] = canary_view(stores().canaries.read_outcomes([recipe.name])[recipe.name])
    return jsonify(view)
