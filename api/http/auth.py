"""The checking of keys: where a request may carry one, what the key may do, and what happens without.

Put before every request of the blueprints that need a key, or somebody who is signed in.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import current_app, g, request

from api.http.context import stores
from api.http.rate_limits import count_anonymous, count_caller
from api.http.session_cookie import session_caller
from schemas.accounts.caller import Caller, Scope
from schemas.errors import Forbidden, Unauthorized

MAX_KEY_LENGTH = 512
READ_METHODS = ("GET", "HEAD")
KEY_ONLY_PREFIX = "/api/v1/"
View = TypeVar("View", bound=Callable[..., Any])


def require_scope(scope: Scope) -> Callable[[View], View]:
    """A view for keys of that scope; without it reading needs ``read`` and everything else ``generate``."""

    def mark(view: View) -> View:
        view.scope = scope  # type: ignore[attr-defined] # functions bear what is written on them
        return view

    return mark


def require_key() -> None:
    """Let only callers with a valid key pass that may do this, and not more often than they may.

    Raises:
        Unauthorized: there is no key, or it is nobody's.
        Forbidden: the key may not do this.
        LimitReached: it is one request too many.
    """
    if request.method != "OPTIONS":
        _authorize(authenticate())


def require_session_or_key() -> None:
    """Let callers pass who are signed in, or have a key as ``require_key`` knows it; a key counts where there are both.

    Below ``/api/v1`` a cookie is as good as nothing. Raises as ``require_key`` does, and:

    Raises:
        Forbidden: the request would change something, only a cookie vouches for it, and no page of ours has made it.
    """
    if request.method == "OPTIONS":
        return
    caller = authenticate()
    if caller is None and not request.path.startswith(KEY_ONLY_PREFIX):
        caller = session_caller()
    _authorize(caller)


def _authorize(caller: Caller | None) -> None:
    if caller is None:
        count_anonymous()
        raise Unauthorized
    g.caller = caller
    view = current_app.view_functions.get(request.endpoint or "")
    count_caller(caller, is_submission=hasattr(view, "is_submission"))
    scope = getattr(view, "scope", Scope.READ if request.method in READ_METHODS else Scope.GENERATE)
    if not caller.has_scope(scope):
        raise Forbidden(f"This key may not do that: it lacks the scope '{scope}'.")


def authenticate() -> Caller | None:
    """Whose key the request carries; None if it carries none.

    Raises:
        Unauthorized: it carries one that is nobody's.
    """
    key = api_key_from_request()
    if not key:
        return None
    caller = stores().api_keys.authenticate(key) if len(key) <= MAX_KEY_LENGTH else None
    if caller is None:
        count_anonymous()
        raise Unauthorized
    return caller


def submission_view(view: View) -> View:
    """A view that submits jobs: it needs the scope for that, and has a count of its own."""
    view.is_submission = True  # type: ignore[attr-defined] # as above
    return require_scope(Scope.GENERATE)(view)


def api_key_from_request() -> str:
    """The key in the headers: ``x-api-key: KEY``, ``Authorization: Bearer KEY``, or ``Authorization: KEY``."""
    if key := request.headers.get("x-api-key"):
        return key.strip()
    word, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    return rest.strip() if word.lower() == "bearer" else word
