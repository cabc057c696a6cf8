"""The Sites section: installed sites and their state, checks with a screenshot, recipes to learn and to edit."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from flask import Response, jsonify, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import field_text, go_to, require_scope, sees_everything
from api.console.page import render, section_blueprint
from api.console.sections import SITES
from api.console.text_filters import add_text_filters
from api.http.context import caller, stores
from api.sites.login_windows import read_window
from ops.processes.sign_in_window import has_screen
from schemas.accounts.caller import Scope
from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from schemas.jobs.lifecycle import JobState
from schemas.messages import CHECK_SITE, LEARN_SITE
from schemas.sites.recipe import Recipe

MAX_PICTURES = 4
MAX_RECIPE_CHARS = 200_000
MAX_URL_CHARS = 500
# A younger check is not repeated, so pressing a button twice has no further effect.
MIN_CHECK_AGE_S = 3
CHECK_TIMEOUT_S, LEARN_TIMEOUT_S = 60.0, 180.0
# Instead of the words of the page, for people who may not see what the operator's login shows.
WORDS_BY_STATE = {"good": "found", "warning": "found, with a problem", "bad": "missing or not usable"}
NO_WORKER = "No worker has answered in time. The System page shows whether one is running and its browser is ready."

blueprint = section_blueprint("sites")
add_text_filters(blueprint)


@blueprint.route(SITES.path)
def overview() -> Response:
    """Show every site with its state and its last pictures."""
    return _overview_page()


@blueprint.route(f"{SITES.path}/<name>")
def detail(name: str) -> Response:
    """Show a site: its circuit, canary, drift, last pictures and the last check of its page."""
    return detail_page(find_recipe(name))


@blueprint.route(f"{SITES.path}/<name>/<action>", methods=["POST"])
def act(name: str, action: str) -> BaseResponse:
    """Check a site now, close its circuit breaker, or accept its terms."""
    require_scope(Scope.ADMIN)
    recipe = find_recipe(name)
    if action == "check":
        queries = stores().site_queries
        _, is_fresh = queries.ask(
            CHECK_SITE, recipe.name, "", max_age_s=MIN_CHECK_AGE_S, timeout_s=CHECK_TIMEOUT_S if _has_worker() else 0
        )
        if not is_fresh:
            return detail_page(recipe, problem=Unavailable(NO_WORKER))
        return go_to(f"{SITES.path}/{recipe.name}", done="checked")
    if action == "close":
        stores().circuit_breakers.close(recipe.name)
    elif action == "accept":
        stores().accepted_terms.accept(recipe)
    else:
        raise NotFound(f"There is no action {action[:40]!r}.")
    return go_to(f"{SITES.path}/{recipe.name}", done=action)


@blueprint.route(f"{SITES.path}/learn", methods=["POST"])
def learn() -> BaseResponse:
    """Draft a recipe for the page at an address, and open it in the editor."""
    require_scope(Scope.ADMIN)
    try:
        url = _page_url()
    except Invalid as error:
        return _overview_page(problem=error)
    timeout_s = LEARN_TIMEOUT_S if _has_worker() else 0
    queries = stores().site_queries
    answer, is_fresh = queries.ask(LEARN_SITE, "", url, max_age_s=MIN_CHECK_AGE_S, timeout_s=timeout_s)
    if not is_fresh or answer is None:
        return _overview_page(problem=Unavailable(NO_WORKER))
    if "error" in answer:
        return _overview_page(problem=Invalid(problems=[answer["error"], answer["hint"]]))
    if "known" in answer:
        return go_to(f"{SITES.path}/{answer['known']}", done="known")
    return _editor_page(answer["name"], answer["text"], is_new=True)


@blueprint.route(f"{SITES.path}/edit/<name>")
def edit(name: str) -> Response:
    """Show the editor of a recipe; saving a shipped one makes a copy of your own, which takes precedence."""
    require_scope(Scope.ADMIN)
    text, is_own = stores().recipes.read_text(find_recipe(name).name)
    return _editor_page(name, text, is_own=is_own)


@blueprint.route(f"{SITES.path}/edit/<name>", methods=["POST"])
def save(name: str) -> BaseResponse:
    """Store a recipe of one's own; every process uses it within a second."""
    require_scope(Scope.ADMIN)
    text = _recipe_text()
    try:
        stores().recipes.write(name, text)
    except ServiceError as error:
        return _editor_page(name, text, problem=error, is_new=not _is_known(name))
    return go_to(f"{SITES.path}/{name}", done="saved")


@blueprint.route(f"{SITES.path}/validate/<name>", methods=["POST"])
def validate(name: str) -> Response:
    """Return the mistakes in the text of a recipe, as JSON for the editor."""
    require_scope(Scope.ADMIN)
    try:
        stores().recipes.validate_text(name, _recipe_text())
    except Invalid as error:
        return jsonify({"problems": list(error.problems)})
    return jsonify({"problems": []})


def detail_page(recipe: Recipe, problem: ServiceError | None = None) -> Response:
    """Return the page of a site."""
    check, _ = stores().site_queries.ask(CHECK_SITE, recipe.name, "", max_age_s=MIN_CHECK_AGE_S, timeout_s=0)
    return render(
        "sites/detail.html",
        section=SITES,
        title=recipe.title,
        status=problem.status if problem else 200,
        site=recipe,
        is_default=recipe.name == stores().recipes.default.name,
        circuit=stores().circuit_breakers.read([recipe.name])[recipe.name],
        canary=stores().canaries.read_outcomes([recipe.name])[recipe.name],
        login_kept_at=stores().credentials.read_time(recipe.name),
        window=read_window(stores(), recipe),
        has_screen=has_screen(),
        drift=stores().selector_drift.list_changes(recipe.name),
        terms_accepted=stores().accepted_terms.is_accepted(recipe),
        pictures=_last_pictures([recipe.name])[recipe.name],
        check=_visible_check(check),
        can_change=caller().has_scope(Scope.ADMIN),
        problem=problem,
        done=request.args.get("done"),
    )


def find_recipe(name: str) -> Recipe:
    """Return the recipe of a site; raises NotFound."""
    for recipe in stores().recipes.list_all():
        if recipe.name == name:
            return recipe
    raise NotFound(f"There is no site {name[:60]!r} here.")


def _overview_page(problem: ServiceError | None = None) -> Response:
    recipes = stores().recipes.list_all()
    names = [recipe.name for recipe in recipes]
    circuits = stores().circuit_breakers.read(names)
    canaries = stores().canaries.read_outcomes(names)
    pictures = _last_pictures(names)
    sites = [
        {
            "recipe": recipe,
            "circuit": circuits[recipe.name],
            "canary": canaries[recipe.name],
            "drift": len(stores().selector_drift.list_changes(recipe.name)),
            "terms_accepted": stores().accepted_terms.is_accepted(recipe),
            "pictures": pictures[recipe.name],
        }
        for recipe in recipes
    ]
    return render(
        "sites/index.html",
        section=SITES,
        title=SITES.title,
        status=problem.status if problem else 200,
        sites=sites,
        default=stores().recipes.default.name,
        can_change=caller().has_scope(Scope.ADMIN),
        has_folder=stores().recipes.user_folder is not None,
        problem=problem,
        url=request.form.get("url", "")[:MAX_URL_CHARS],
    )


def _editor_page(
    name: str, text: str, *, problem: ServiceError | None = None, is_own: bool = True, is_new: bool = False
) -> Response:
    return render(
        "sites/editor.html",
        section=SITES,
        title=f"Recipe {name}",
        status=problem.status if problem else 200,
        name=name,
        text=text,
        problem=problem,
        is_own=is_own,
        is_new=is_new,
        folder=stores().recipes.user_folder,
    )


def _is_known(name: str) -> bool:
    return any(recipe.name == name for recipe in stores().recipes.list_all())


def _last_pictures(sites: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the latest pictures of each site that the caller may see."""
    owner = None if sees_everything() else caller().id
    latest = stores().job_search.find_latest_of_sites(owner, frozenset({JobState.COMPLETED}), sites, MAX_PICTURES)
    return {site: [{"id": job.id, "prompt": job.request.prompt} for job in jobs] for site, jobs in latest.items()}


def _visible_check(check: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a check for the caller: of a page that was opened with a login, only admins see the page's content."""
    if check is None or sees_everything() or not check.get("with_login", True):
        return check
    if "error" in check:
        return {"error": "The page could not be checked.", "hint": "Admins can see the reason."}
    results = [{**each, "words": WORDS_BY_STATE.get(each["state"], "")} for each in check["results"]]
    return {"results": results, "remarks": [], "screenshot": ""}


def _has_worker() -> bool:
    return any(worker.ready for worker in stores().workers.list_alive())


def _recipe_text() -> str:
    text = request.form.get("text", "").replace("\r\n", "\n")
    if len(text) > MAX_RECIPE_CHARS:
        raise Invalid(problems=[f"text: At most {MAX_RECIPE_CHARS} characters."])
    return text


def _page_url() -> str:
    """Return the address of the form; raises Invalid."""
    url = field_text("url", required=True, max_chars=MAX_URL_CHARS)
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_url = False
    if not is_url:
        raise Invalid(problems=["url: An address that begins with http:// or https://."])
    if not request.form.get("own"):
        raise Invalid(problems=["own: Only your own pages can be learned; confirm that this one is yours."])
    return url
