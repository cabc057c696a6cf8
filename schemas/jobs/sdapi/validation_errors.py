"""Errors of validation in FastAPI's form: ``{"detail": [{"loc": ["body", "steps"], "msg": …, "type": …}]}``."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from schemas.errors import Invalid, NotOffered
from schemas.fields import MAX_PROBLEMS

# How the sentences of other layers name a field: "steps: Must be …" or "inputs.steps: …".
FIELD_PROBLEM = re.compile(r"([A-Za-z_][\w.\[\]-]{0,100}): (.*)", re.DOTALL)
TYPE_WORDS = ("Not a valid", "Invalid input type")
WRONG_TYPE, WRONG_VALUE, MISSING = "type_error", "value_error", "value_error.missing"


class BodyInvalid(Invalid):
    """The body of a request does not have the types of its fields; ``locations`` are those of FastAPI."""

    status = 422

    def __init__(self, locations: list[dict[str, Any]]) -> None:
        super().__init__(problems=[f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in locations])
        self.locations = locations


class ScriptNotFound(NotOffered):
    """There is no script of that name."""

    status = 422


def error_details(messages: Any, path: tuple[Any, ...] = ("body",)) -> list[dict[str, Any]]:
    """Return marshmallow's nested messages, up to ``MAX_PROBLEMS`` of them, as FastAPI's list."""
    return list(itertools.islice(_walk(messages, path), MAX_PROBLEMS))


def problem_details(problems: list[str]) -> list[dict[str, Any]]:
    """Return sentences such as ``steps: Must be …`` as FastAPI's list."""
    return [_detail(*_locate(problem)) for problem in problems]


def _locate(problem: str) -> tuple[tuple[Any, ...], str]:
    match = FIELD_PROBLEM.fullmatch(problem)
    return (("body", match[1]), match[2]) if match else (("body",), problem)


def _walk(messages: Any, path: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _walk(inner, path if key == "_schema" else (*path, key))
    elif isinstance(messages, list):
        yield from (_detail(path, str(message)) for message in messages)
    else:
        yield _detail(path, str(messages))


def _detail(location: tuple[Any, ...], message: str) -> dict[str, Any]:
    kind = (
        WRONG_TYPE if message.startswith(TYPE_WORDS) else MISSING if message.startswith("Missing data") else WRONG_VALUE
    )
    return {"loc": list(location), "msg": message, "type": kind}
