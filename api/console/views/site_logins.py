"""The login of a site: made in a window on the screen of this machine, imported, or forgotten."""

import json

from flask import request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import go_to, require_scope
from api.console.page import section_blueprint
from api.console.sections import SITES
from api.console.views.sites import detail_page, find_recipe
from api.http.context import stores
from api.sites.login_windows import open_window
from schemas.accounts.caller import Scope
from schemas.errors import Conflict, Invalid

blueprint = section_blueprint("site_logins")


@blueprint.route(f"{SITES.path}/<name>/login/window", methods=["POST"])
def sign_in(name: str) -> BaseResponse:
    """Open a browser window on this machine in which to sign in to the site."""
    require_scope(Scope.ADMIN)
    recipe = find_recipe(name)
    try:
        open_window(stores(), recipe)
    except (Invalid, Conflict) as error:
        return detail_page(recipe, problem=error)
    return go_to(f"{SITES.path}/{recipe.name}", done="window")


@blueprint.route(f"{SITES.path}/<name>/login/import", methods=["POST"])
def import_state(name: str) -> BaseResponse:
    """Store a login that was exported elsewhere: Playwright's storage state."""
    require_scope(Scope.ADMIN)
    recipe = find_recipe(name)
    try:
        stores().credentials.store(recipe.name, json.loads(request.form.get("state", "")))
    except Invalid as error:
        return detail_page(recipe, problem=error)
    except (ValueError, RecursionError):
        return detail_page(recipe, problem=Invalid(problems=["state: This is not JSON."]))
    stores().circuit_breakers.close(recipe.name)
    return go_to(f"{SITES.path}/{recipe.name}", done="login")


@blueprint.route(f"{SITES.path}/<name>/login/forget", methods=["POST"])
def forget(name: str) -> BaseResponse:
    """Delete the login of the site."""
    require_scope(Scope.ADMIN)
    recipe = find_recipe(name)
    stores().credentials.delete(recipe.name)
    return go_to(f"{SITES.path}/{recipe.name}", done="forgotten")
