"""The Keys section: API keys with their scopes, limits and plan, and what each has used.

Callers without the scope ``admin`` see their own key only, and may replace it.
"""

import contextlib
from dataclasses import fields
from typing import Any

from flask import Response, request
from werkzeug.wrappers import Response as BaseResponse

from api.console.forms import field_text, go_to, require_scope
from api.console.page import render, section_blueprint
from api.console.plots import plot_bars
from api.console.sections import KEYS
from api.console.text_filters import add_text_filters
from api.http import session_cookie
from api.http.auth import current_credential
from api.http.context import caller, stores
from schemas.accounts.caller import ALL_SCOPES, DEFAULT_SCOPES, OWNER, Caller, CallerLimits, Scope, parse_limits
from schemas.errors import Invalid, NotFound, ServiceError, Unavailable
from stores.accounts.api_keys import OWNER_CALLER, KeyChange
from stores.accounts.quotas import UsageHistory

MAX_NAME_CHARS = 100
MAX_PLAN_CHARS = 40
SCOPE_HELP = {
    Scope.READ: "see its own jobs and the library",
    Scope.GENERATE: "make pictures and use webhooks",
    Scope.LIBRARY: "edit models and add pictures",
    Scope.GALLERY: "make collections",
    Scope.ADMIN: "everything, for all callers",
}
LIMIT_HELP = {
    "queued": "Unfinished jobs at once",
    "concurrent": "Running jobs at once",
    "daily": "Pictures a day",
    "weekly": "Pictures a week",
    "rate": "Submissions, such as 60/minute",
}

blueprint = section_blueprint("keys")
add_text_filters(blueprint)


@blueprint.route(KEYS.path)
def overview() -> Response:
    """Show all keys, and the form for a new one; without ``admin`` only the caller's own."""
    return _overview_page()


@blueprint.route(KEYS.path, methods=["POST"])
def create() -> Response:
    """Create a key and show it, once."""
    require_scope(Scope.ADMIN)
    try:
        key = stores().api_keys.create(field_text("name", required=True, max_chars=MAX_NAME_CHARS), _grant())
    except Invalid as error:
        return _overview_page(problem=error)
    return _secret_page(key, request.form["name"].strip(), is_new=True)


@blueprint.route(f"{KEYS.path}/<key_id>")
def detail(key_id: str) -> Response:
    """Show a key with its usage, and the form that changes it."""
    return _detail_page(_visible_key(key_id))


@blueprint.route(f"{KEYS.path}/<key_id>", methods=["POST"])
def change(key_id: str) -> BaseResponse:
    """Change the name, scopes, limits or plan of a key."""
    require_scope(Scope.ADMIN)
    key = _changeable_key(key_id)
    try:
        name = field_text("name", required=True, max_chars=MAX_NAME_CHARS)
        grant = _grant()
    except Invalid as error:
        return _detail_page(key, problem=error)
    stores().api_keys.update(key.id, KeyChange(name, grant.scopes, grant.limits, grant.plan or ""))
    if grant.limits is not None:
        stores().quotas.limit_running(key.id, grant.limits)
    return go_to(f"{KEYS.path}/{key.id}", done="changed")


@blueprint.route(f"{KEYS.path}/<key_id>/rotate", methods=["POST"])
def rotate(key_id: str) -> Response:
    """Replace a key by a new one and show it, once; the old one ends within a second.

    A browser that has signed in with the old one stays signed in, for without that the page would not stay open.
    """
    key = _visible_key(key_id)
    if key.id != caller().id:
        require_scope(Scope.ADMIN)
        return _secret_page(stores().api_keys.rotate(_changeable_key(key_id).id), key.name, is_new=False)
    new = stores().api_keys.regenerate_of_session(caller())
    response = _secret_page(new, key.name, is_new=False)
    if current_credential().session:
        # The new key exists, so it is shown in any case.
        with contextlib.suppress(Unavailable):
            session_cookie.begin_session(response, stores().sessions.create(caller(), new))
    return response


@blueprint.route(f"{KEYS.path}/<key_id>/revoke", methods=["POST"])
def revoke(key_id: str) -> BaseResponse:
    """Revoke a key; it ends, with its browsers' sessions, within a second."""
    require_scope(Scope.ADMIN)
    key = _changeable_key(key_id)
    stores().api_keys.revoke(key.id)
    return go_to(KEYS.path, revoked=key.name)


def _overview_page(problem: ServiceError | None = None) -> Response:
    is_admin = caller().has_scope(Scope.ADMIN)
    keys = [OWNER_CALLER, *stores().api_keys.list_active()] if is_admin else [caller()]
    usage = stores().quotas.list_history([key.id for key in keys])
    return render(
        "keys/index.html",
        section=KEYS,
        title=KEYS.title,
        status=problem.status if problem else 200,
        keys=[_card(key, usage[key.id]) for key in keys],
        is_admin=is_admin,
        form=_form_values(request.form) if problem else _default_form(),
        problem=problem,
        revoked=request.args.get("revoked", "")[:MAX_NAME_CHARS],
        scope_help=SCOPE_HELP,
        limit_help=LIMIT_HELP,
    )


def _detail_page(key: Caller, problem: ServiceError | None = None) -> Response:
    usage = stores().quotas.list_history([key.id])[key.id]
    return render(
        "keys/detail.html",
        section=KEYS,
        title=key.name,
        status=problem.status if problem else 200,
        key=_card(key, usage),
        now=stores().quotas.get_usage(key.id),
        weeks=plot_bars(usage.weeks),
        limits=stores().quotas.get_limits(key),
        is_admin=caller().has_scope(Scope.ADMIN),
        is_own=key.id == caller().id,
        is_owner=key.id == OWNER,
        form=_form_values(request.form) if problem else _form_of(key),
        problem=problem,
        done=request.args.get("done"),
        scope_help=SCOPE_HELP,
        limit_help=LIMIT_HELP,
    )


def _secret_page(key: str, name: str, *, is_new: bool) -> Response:
    return render("keys/secret.html", section=KEYS, title="The new key", key=key, name=name, is_new=is_new)


def _card(key: Caller, usage: UsageHistory) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "limits": key.limits.to_text().replace(",", ", "),
        "plan": key.plan,
        "days": plot_bars(usage.days),
        "today": usage.days[-1][1],
        "week": usage.weeks[-1][1],
        "is_owner": key.id == OWNER,
        "has_all_scopes": key.scopes == ALL_SCOPES,
    }


def _visible_key(key_id: str) -> Caller:
    """Return a key that the caller may see; raises NotFound."""
    owner = stores().api_keys.get_owner(key_id)
    if owner is None or not (caller().has_scope(Scope.ADMIN) or key_id == caller().id):
        raise NotFound(f"There is no key {key_id[:40]!r}.")
    return owner.caller


def _changeable_key(key_id: str) -> Caller:
    if key_id == OWNER:
        raise Invalid(problems=["The owner's key always has all scopes and no limits; it can only be replaced."])
    return _visible_key(key_id)


def _grant() -> KeyChange:
    """Return the scopes, limits and plan of the sent form; raises Invalid."""
    scopes = frozenset(scope for scope in Scope if request.form.get(f"scope_{scope}"))
    if not scopes:
        raise Invalid(problems=["scopes: Choose at least one."])
    given = {field.name: field_text(f"limit_{field.name}", max_chars=40) for field in fields(CallerLimits)}
    try:
        limits = parse_limits(",".join(f"{name}={value}" for name, value in given.items() if value))
    except ValueError as error:
        raise Invalid(problems=[f"limits: {error}."]) from error
    return KeyChange(None, scopes, limits, field_text("plan", max_chars=MAX_PLAN_CHARS) or None)


def _form_values(form: Any) -> dict[str, Any]:
    """Return the submitted values, so that the form keeps them next to the error."""
    return {
        "name": form.get("name", ""),
        "plan": form.get("plan", ""),
        "scopes": [scope for scope in Scope if form.get(f"scope_{scope}")],
        "limits": {name: form.get(f"limit_{name}", "") for name in LIMIT_HELP},
    }


def _default_form() -> dict[str, Any]:
    return {"name": "", "plan": "", "scopes": sorted(DEFAULT_SCOPES), "limits": {}}


def _form_of(key: Caller) -> dict[str, Any]:
    texts = dict(part.split("=", 1) for part in key.limits.to_text().split(",") if part)
    return {"name": key.name, "plan": key.plan or "", "scopes": sorted(key.scopes), "limits": texts}
