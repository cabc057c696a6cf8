"""The filling in of a recipe's templates and JSON documents: values for placeholders, and where paths lead. Pure."""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

PLACEHOLDER = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")
MISSING = object()


def render(template: str, value: Callable[[str], str]) -> str:
    """``template`` with ``value`` of each placeholder in its place; what a value contains is never read as one."""
    return PLACEHOLDER.sub(lambda found: value(found[1]), template)


def render_url(template: str, url: str, values: Mapping[str, Any]) -> str:
    """The same for an address: ``url`` is the site's own and stays as it is, a value is a part and is quoted."""
    return render(template, lambda name: url if name == "url" else quote(str(values.get(name, "")), safe=""))


def apply_fields(content: Any, fields: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """``content`` with each field's template, filled with ``values``, at its path.

    A template that is one placeholder keeps the value's type; one that names a value nobody gave changes nothing.

    Raises:
        KeyError: a path leads nowhere.
    """
    document = copy.deepcopy(content)
    for path, template in fields.items():
        if all(name in values for name in PLACEHOLDER.findall(template)):
            *way, last = resolve_path(document, path)
            place = document
            for step in way:
                place = place[step]
            place[last] = _value(template, values)
    return document


def resolve_path(content: Any, path: str) -> list[str | int]:
    """The keys on the way to ``path``; a node may be named by its id or by its title.

    Raises:
        KeyError: the path leads nowhere.
    """
    first, rest = _node(content, path)
    way: list[str | int] = [first]
    place = content[first]
    for part in rest.split(".") if rest else ():
        way.append(int(part) if isinstance(place, list) and part.isdigit() else part)
        place = get_path(place, part)
        if place is MISSING:
            raise KeyError(path)
    return way


def get_path(content: Any, path: str) -> Any:
    """What is at a path such as ``data.images.0.name``; MISSING if there is nothing."""
    for part in path.split("."):
        if isinstance(content, Mapping) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return MISSING
    return content


def _node(content: Any, path: str) -> tuple[str, str]:
    """The key of the node that a path begins with, and the rest of the path. The longest name that fits counts."""
    names: dict[str, str] = {}
    for key, node in content.items() if isinstance(content, Mapping) else ():
        title = get_path(node, "_meta.title")
        names |= {key: key} | ({title: key} if isinstance(title, str) else {})
    for name in sorted(names, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            return names[name], path[len(name) + 1 :]
    raise KeyError(path)


def _value(template: str, values: Mapping[str, Any]) -> Any:
    if whole := PLACEHOLDER.fullmatch(template):
        return values[whole[1]]
    return render(template, lambda name: str(values[name]))
