"""Blueprint whose routes have policies: see ``api.http.route_policy``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import flask_smorest
from flask import Flask

from api.http.route_policy import DEFAULT, Access, ErrorFormat, RoutePolicy


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
