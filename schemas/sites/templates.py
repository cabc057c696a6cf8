"""Templates of recipes: placeholders in texts, and values at paths of JSON documents."""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

PLACEHOLDER = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")
MISSING = object()


def render(template: str, value: Callable[[str], str]) -> str:
    """Replace each placeholder by ``value(name)``. Placeholders inside values are not expanded."""
    return PLACEHOLDER.sub(lambda match: value(match[1]), template)


def render_url(template: str, url: str, values: Mapping[str, Any]) -> str:
    """Render a URL: ``{{url}}`` is the site's own URL, unchanged; other values are percent-encoded."""
    return render(template, lambda name: url if name == "url" else quote(str(values.get(name, "")), safe=""))


def apply_fields(content: Any, fields: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """Return a copy of ``content`` with each field's rendered template at its path.

    A template that consists of one placeholder keeps the type of the value. A field is skipped if a value is missing.

    Raises:
        KeyError: a path does not exist.
    """
    document = copy.deepcopy(content)
    for path, template in fields.items():
        if all(name in values for name in PLACEHOLDER.findall(template)):
            *parents, last = resolve_path(document, path)
            container = document
            for key in parents:
                container = container[key]
            container[last] = _render_value(template, values)
    return document


def resolve_path(content: Any, path: str) -> list[str | int]:
    """Return the keys that lead to ``path``. Its first part may be a node's id or title.

    Raises:
        KeyError: the path does not exist.
    """
    first, rest = _resolve_node(content, path)
    keys: list[str | int] = [first]
    container = content[first]
    for part in rest.split(".") if rest else ():
        keys.append(int(part) if isinstance(container, list) and part.isdigit() else part)
        container = get_path(container, part)
        if container is MISSING:
            raise KeyError(path)
    return keys


def get_path(content: Any, path: str) -> Any:
    """Return the value at a path such as ``data.images.0.name``, or MISSING."""
    for part in path.split("."):
        if isinstance(content, Mapping) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return MISSING
    return content


def _resolve_node(content: Any, path: str) -> tuple[str, str]:
    """Split a path into a node's key and the rest. Titles may contain dots, so the longest matching name wins."""
    names: dict[str, str] = {}
    for key, node in content.items() if isinstance(content, Mapping) else ():
        title = get_path(node, "_meta.title")
        names |= {key: key} | ({title: key} if isinstance(title, str) else {})
    for name in sorted(names, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            return names[name], path[len(name) + 1 :]
    raise KeyError(path)


def _render_value(template: str, values: Mapping[str, Any]) -> Any:
    if placeholder := PLACEHOLDER.fullmatch(template):
        return values[placeholder[1]]
    return render(template, lambda name: str(values[name]))
