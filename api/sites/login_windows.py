"""Windows in which a person signs in to a site, on the screen of the machine that serves the API."""

import threading
from typing import Any

import structlog

from ops.processes.sign_in_window import TIMEOUT_S, await_sign_in, has_screen
from schemas.errors import Conflict, Invalid, Unavailable
from schemas.sites.recipe import Recipe
from stores import Stores

QUESTION = "sign_in_window"

log = structlog.get_logger(__name__)


def open_window(stores: Stores, recipe: Recipe) -> None:
    """Open a window for a site; once the person has signed in, the login is stored and the site's circuit closed.

    Raises:
        Invalid: this machine has no screen.
        Conflict: a window of the site is open.
    """
    if not has_screen():
        raise Invalid(problems=["The machine that serves this page has no screen; import the login instead."])
    if (window := read_window(stores, recipe)) and window["is_open"]:
        raise Conflict("A window for this site is open already: sign in there.")
    _report(stores, recipe, is_open=True)
    threading.Thread(target=_await_end, args=(stores, recipe), daemon=True).start()


def read_window(stores: Stores, recipe: Recipe) -> dict[str, Any] | None:
    """Return ``is_open`` and ``error`` of the window that was opened last; None if that was long ago."""
    state, is_recent = stores.site_queries.ask(QUESTION, recipe.name, "", max_age_s=TIMEOUT_S, timeout_s=0)
    return state if is_recent else None


def _await_end(stores: Stores, recipe: Recipe) -> None:
    problem = await_sign_in(recipe.name)
    log.info("sign_in.ended", site=recipe.name, error=problem)
    try:
        if not problem:
            stores.circuit_breakers.close(recipe.name)
        _report(stores, recipe, is_open=False, error=problem)
    except Unavailable as error:
        log.warning("sign_in.not_reported", site=recipe.name, error=error.message)


def _report(stores: Stores, recipe: Recipe, *, is_open: bool, error: str = "") -> None:
    stores.site_queries.store_answer(QUESTION, recipe.name, "", {"is_open": is_open, "error": error})
