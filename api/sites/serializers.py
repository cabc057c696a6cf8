"""JSON of sites, circuit breakers and canaries."""

from dataclasses import asdict
from typing import Any

from schemas.fields import to_camel_case
from schemas.images.input_images import describe_limits
from schemas.sites.recipe import InputSpec, Recipe, TestedSpec
from stores.sites.canaries import CanaryOutcome
from stores.sites.circuit_breakers import CircuitBreaker


def site_view(recipe: Recipe, circuit: CircuitBreaker, *, terms_accepted: bool) -> dict[str, Any]:
    """Return the description of a site."""
    return {
        "circuit": circuit_view(circuit),
        "name": recipe.name,
        "title": recipe.title,
        "description": recipe.description,
        "bundled": recipe.bundle is not None,
        "hasLoras": recipe.loras is not None,
        "tested": _tested_view(recipe.tested) if recipe.tested else None,
        "consent": {
            "ownership": recipe.consent.ownership,
            "termsUrl": recipe.consent.terms_url,
            "given": terms_accepted,
        },
        "needsLogin": recipe.session.required,
        "canaryEverySeconds": recipe.canary.every_s if recipe.canary else None,
        "inputs": {to_camel_case(name): input_view(spec) for name, spec in recipe.inputs.items()},
        "limits": {
            "concurrency": recipe.limits.concurrency or None,
            "minIntervalSeconds": recipe.limits.min_interval_s,
            "daily": recipe.limits.daily or None,
        },
    }


def circuit_view(circuit: CircuitBreaker) -> dict[str, Any]:
    """Return the state of a circuit breaker; an open one with the error that opened it and the time of the next try."""
    if not circuit.is_open:
        return {"state": "closed", "failures": circuit.failures}
    return {
        "state": "open",
        "failures": circuit.failures,
        "openedAt": circuit.opened_at,
        "retryAt": circuit.retry_at,
        "code": circuit.code,
        "error": circuit.error,
    }


def canary_view(outcome: CanaryOutcome | None) -> dict[str, Any] | None:
    """Return the outcome of the last canary; None if there has been none."""
    return asdict(outcome) if outcome else None


def _tested_view(tested: TestedSpec) -> dict[str, Any]:
    """Return the tests of a recipe; ``standIn`` is None for a program that was run itself."""
    programs = [
        {"name": program.name, "versions": list(program.versions), "standIn": program.stand_in or None}
        for program in tested.programs
    ]
    return {"with": tested.with_, "real": tested.real, "summary": str(tested), "programs": programs}


def input_view(spec: InputSpec) -> dict[str, Any]:
    """Return an input in the vocabulary of JSON Schema; absent limits are left out."""
    view = {
        "type": spec.type,
        "description": spec.label,
        "minimum": spec.minimum,
        "maximum": spec.maximum,
        "multipleOf": spec.multiple_of,
        "maxLength": spec.max_length,
        "enum": list(spec.choices) or None,
        "default": spec.default,
        "required": spec.required or None,
        "sameSizeAs": to_camel_case(spec.same_size_as),
    }
    if spec.type == "image":
        view |= describe_limits(spec.accept)
    return {name: value for name, value in view.items() if value not in (None, "")}
