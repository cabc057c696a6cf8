"""Blueprint whose routes have policies (``api.http.route_policy``) and declare their responses."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import flask_smorest
from flask import Flask

from api.http.route_policy import DEFAULT, Access, ErrorFormat, RoutePolicy
from schemas.errors import ServiceError

# Responses that the HTTP of several routes has in common.
STATUS_DESCRIPTIONS = {
    206: "The part that `Range` names.",
    304: "The client has this version already (`If-None-Match`).",
}


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc] # flask-smorest has no types
    """A documented blueprint; ``access`` and ``error_format`` apply to routes whose policy does not set them.

    URLs below the prefix that match no route get the same ``error_format``. ``error_prefixes`` names these URLs if they
    are not simply those below ``url_prefix``.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        access: Access,
        error_format: ErrorFormat | None = None,
        error_prefixes: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init__(name, import_name, **options)
        self._access = access
        self._error_format = error_format
        self._error_prefixes = error_prefixes
        self._policies: dict[str, RoutePolicy] = {}

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Any = None,
        *args: Any,
        policy: RoutePolicy = DEFAULT,
        **options: Any,
    ) -> None:
        """Register a route with its policy."""
        super().add_url_rule(rule, endpoint, view_func, *args, **options)
        # flask-smorest renames the endpoint of a view that is registered twice.
        self._policies[self._endpoints[-1]] = replace(
            policy,
            access=policy.access or self._access,
            error_format=policy.error_format or self._error_format,
        )

    @staticmethod
    def sends(*others: int | type[ServiceError]) -> Callable[[Any], Any]:
        """Return a decorator that describes further statuses and errors of a view, besides its ``response``.

        The errors that follow from the policy, the path and the body of a route are described without it
        (``api.openapi.errors``).
        """

        def describe(view: Any) -> Any:
            view._apidoc = deepcopy(getattr(view, "_apidoc", {}))  # noqa: SLF001 - where flask-smorest keeps it
            responses = view._apidoc.setdefault("response", {}).setdefault("responses", {})  # noqa: SLF001
            for other in others:
                if isinstance(other, int):
                    status, description = other, STATUS_DESCRIPTIONS[other]
                else:
                    status, description = other.status, str(other.__doc__).strip()
                responses.setdefault(status, [{"description": description, "content_type": None}])
            return view

        return describe

    def _prepare_arguments_doc(self, doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        # flask-smorest describes 422, which ``api.http.error_responses`` turns into 400.
        doc_info.get("arguments", {}).pop("responses", None)
        return super()._prepare_arguments_doc(doc, doc_info, **kwargs)

    def register(self, app: Flask, options: dict[str, Any]) -> None:
        """Register the routes with ``app``, under another name and prefix if ``options`` say so."""
        super().register(app, options)
        name = options.get("name", self.name)
        policies = app.extensions.setdefault("route_policies", {})
        policies.update({f"{name}.{endpoint}": policy for endpoint, policy in self._policies.items()})
        if self._error_format:
            formats = app.extensions.setdefault("error_formats", {})
            prefixes = self._error_prefixes or (options.get("url_prefix") or self.url_prefix,)
            if None in prefixes:
                raise ValueError(f"The blueprint {self.name} has an error format, so it needs URLs that have it.")
            formats.update(dict.fromkeys(prefixes, self._error_format))
