"""Forms of the sections: permission checks, and what happens after a form was sent."""

from urllib.parse import urlencode, urlsplit

from flask import redirect, request
from werkzeug.wrappers import Response as BaseResponse

from api.http.context import caller
from schemas.accounts.caller import Scope
from schemas.errors import Forbidden, Invalid

MAX_TEXT_CHARS = 4000


def require_scope(scope: Scope) -> None:
    """Raise Forbidden unless the caller's key has the scope."""
    if not caller().has_scope(scope):
        raise Forbidden(f"This key lacks the scope '{scope}'.")


def sees_everything() -> bool:
    """Whether the caller sees the jobs of all callers."""
    return caller().has_scope(Scope.ADMIN)


def go_to(path: str, **query: str) -> BaseResponse:
    """Return the redirect that follows a form, so that reloading does not send it again."""
    return redirect(f"{path}?{urlencode(query)}" if query else path, 303)


def go_back(default: str) -> BaseResponse:
    """Return the redirect to the page of this section that has sent the form."""
    target = request.form.get("back", "")
    parts = urlsplit(target)
    is_of_section = not parts.scheme and not parts.netloc and parts.path.startswith(default)
    return redirect(target if is_of_section else default, 303)


def field_text(name: str, *, required: bool = False, max_chars: int = MAX_TEXT_CHARS) -> str:
    """Return a field of the sent form without white space around it; raises Invalid."""
    text = request.form.get(name, "").strip()
    if required and not text:
        raise Invalid(problems=[f"{name}: Fill this in."])
    if len(text) > max_chars or not text.isprintable():
        raise Invalid(problems=[f"{name}: At most {max_chars} characters, all of them printable."])
    return text
