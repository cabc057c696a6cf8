"""Completes the description of each route from what its registration says: id, heading, parameters, errors."""

from typing import Any

from apispec import APISpec, BasePlugin
from flask import Flask
from flask_smorest.spec.plugins import FlaskPlugin
from werkzeug.routing import Rule

from api.http.error_responses import error_format_of_path
from api.http.route_policy import (
    DEFAULT,
    ERROR_SCHEMAS,
    KEY_SECURITY,
    OPTIONAL_KEY_SECURITY,
    SAFE_METHODS,
    Access,
    ErrorFormat,
    RoutePolicy,
)
from api.openapi.errors import describe_errors
from api.openapi.groups import GROUPS_BY_BLUEPRINT
from api.openapi.paths import PATH_PARAMETERS
from schemas.accounts.caller import Scope
from schemas.fields import to_camel_case

JSON = "application/json"


class RouteDescriptions(BasePlugin):
    """Plugin of apispec, which passes it the rule and the operations of each path."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def init_spec(self, spec: APISpec) -> None:
        """Do nothing: the descriptions need no state of the document."""

    def path_helper(  # type: ignore[override] # apispec passes what spec.path() was called with
        self, *, rule: Rule, operations: dict[str, Any], parameters: list[dict[str, Any]], **_: Any
    ) -> None:
        """Complete the operations of a rule, and its path parameters."""
        policy: RoutePolicy = self._app.extensions["route_policies"].get(rule.endpoint, DEFAULT)
        error_format = policy.error_format or error_format_of_path(self._app, rule.rule)
        for parameter in parameters:
            _describe_path_parameter(parameter)
        for method, operation in operations.items():
            _complete(operation, method.upper(), rule, policy, has_siblings=len(operations) > 1)
            _describe_bodies(operation, error_format)


def describe_path(rule: Rule) -> str:
    """Return the path of a rule as the description writes it."""
    path: str = FlaskPlugin.flaskpath2openapi(rule.rule)
    return path


def operation_id(endpoint: str, method: str, *, has_siblings: bool) -> str:
    """Return the id of an operation, from the names of its blueprint and its endpoint: part of the API."""
    suffix = f"_{method.lower()}" if has_siblings else ""
    name = f"{endpoint.removesuffix('ing')}" if endpoint.endswith(".listing") else endpoint
    return to_camel_case(name.replace(".", "_") + suffix)


def _describe_path_parameter(parameter: dict[str, Any]) -> None:
    known = PATH_PARAMETERS.get(parameter["name"])
    if known is not None and "description" not in parameter:
        # A converter may say more about the type, but not less.
        is_constrained = set(parameter["schema"]) - {"type", "minLength"}
        schema = parameter["schema"] if is_constrained else known["schema"]
        parameter.update(known | {"schema": dict(schema)})


def _complete(operation: dict[str, Any], method: str, rule: Rule, policy: RoutePolicy, *, has_siblings: bool) -> None:
    blueprint = rule.endpoint.rpartition(".")[0]
    group = GROUPS_BY_BLUEPRINT.get(blueprint)
    operation.setdefault("operationId", operation_id(rule.endpoint, method, has_siblings=has_siblings))
    operation["tags"] = [group.title if group else blueprint]
    if policy.access is Access.ANONYMOUS:
        operation.setdefault("security", [])
    elif policy.reads_gallery and method in SAFE_METHODS:
        # With GALLERY_PUBLIC readers need no key.
        operation.setdefault("security", [{}, *KEY_SECURITY])
    elif policy.access is Access.KEY_OR_SETTING:
        operation.setdefault("security", OPTIONAL_KEY_SECURITY)
    responses = operation.setdefault("responses", {})
    responses.pop("default", None)
    declared = {int(status) for status in responses}
    for status, response in describe_errors(operation, method, rule, policy, declared).items():
        responses.setdefault(status, response)
    operation["responses"] = {str(status): responses[status] for status in sorted(responses, key=int)}
    needs_key = policy.access in (Access.KEY, Access.KEY_OR_SETTING)
    if needs_key and _required_scope(policy, method) is not Scope.READ:
        operation["x-scope"] = str(_required_scope(policy, method))


def _required_scope(policy: RoutePolicy, method: str) -> Scope:
    return policy.scope or (Scope.READ if method in SAFE_METHODS else Scope.GENERATE)


def _describe_bodies(operation: dict[str, Any], error_format: ErrorFormat) -> None:
    """Give each error the error body of its API, and each partial response the content of the full one."""
    responses = operation["responses"]
    for status, response in responses.items():
        if int(status) >= 400 and "content" not in response:
            response["content"] = {JSON: {"schema": ERROR_SCHEMAS.get(error_format, {"type": "object"})}}
    if "206" in responses and "content" not in responses["206"]:
        responses["206"]["content"] = responses["200"]["content"]
