"""Templates of recipes: placeholders in texts, and values at paths of JSON documents."""

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from schemas.sites.documents import resolve_path

PLACEHOLDER = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")


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
        PathError: a path does not lead to one place of the document.
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


def _render_value(template: str, values: Mapping[str, Any]) -> Any:
    if placeholder := PLACEHOLDER.fullmatch(template):
        return values[placeholder[1]]
    return render(template, lambda name: str(values[name]))
