"""JSON documents of recipes, in particular ComfyUI's workflows: nodes are found by id, title or class.

A workflow in ComfyUI's API format maps the ids of its nodes to objects with ``class_type``, ``inputs`` and, in exports
of later versions, ``_meta.title``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MISSING = object()
MAX_LISTED_NODES = 100
MAX_LISTED_INPUTS = 30
EXPORT_HINT = (
    "This is a workflow as ComfyUI's page saves it, with 'nodes' and 'links', and not in its API format. Open it in "
    "ComfyUI and export it with 'Workflow > Export (API)'; in older versions, turn on the dev mode options in the "
    "settings first, then use 'Save (API Format)'."
)


class PathError(ValueError):
    """A path that does not lead to one place of a document; the message says why."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a workflow; ``title`` is empty in older exports."""

    id: str
    title: str
    class_type: str
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        """Return the node for people: id, title, class and inputs."""
        title = f" {self.title!r}" if self.title else ""
        more = ", …" if len(self.inputs) > MAX_LISTED_INPUTS else ""
        inputs = ", ".join(self.inputs[:MAX_LISTED_INPUTS]) + more
        return f"{self.id}{title} ({self.class_type or 'no class'}): {inputs or 'no inputs'}"


def find_problems(content: Any, paths: Sequence[str]) -> list[str]:
    """Return a sentence for each path that does not match exactly one place, then a list of the document's nodes."""
    problems = []
    for path in paths:
        try:
            resolve_path(content, path)
        except PathError as error:
            problems.append(str(error))
    return [*problems, *_describe(content)] if problems else []


def resolve_path(content: Any, path: str) -> list[str | int]:
    """Return the keys that lead to ``path``. Its first part may be the id, the title or the class of one node.

    Raises:
        PathError: the path does not exist, or several nodes have that title or class.
    """
    first, rest = _resolve_node(content, path)
    keys: list[str | int] = [first]
    container = content[first]
    for part in rest.split(".") if rest else ():
        keys.append(int(part) if isinstance(container, list) and part.isdigit() else part)
        container = get_path(container, part)
        if container is MISSING:
            raise PathError(f"{path!r} does not exist: {_describe_place(content, first, rest)}.")
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


def find_values(content: Any, path: str) -> Iterator[Any]:
    """Yield the values at a path in which ``*`` stands for every key or index; nothing if there are none."""
    first, _, rest = path.partition("*")
    start = get_path(content, first.strip(".")) if first.strip(".") else content
    if "*" not in path:
        if start is not MISSING:
            yield start
        return
    children = start.values() if isinstance(start, Mapping) else start if isinstance(start, list) else ()
    for child in children:
        yield from find_values(child, rest.strip(".")) if rest.strip(".") else (child,)


def list_nodes(content: Any) -> list[Node]:
    """Return the nodes of a workflow in API format; empty for other documents."""
    return [
        _read_node(key, node) for key, node in _items(content) if isinstance(node, Mapping) and "class_type" in node
    ]


def _read_node(key: str, node: Mapping[str, Any]) -> Node:
    title, inputs = get_path(node, "_meta.title"), node.get("inputs")
    names = tuple(str(name) for name in inputs) if isinstance(inputs, Mapping) else ()
    return Node(key, title if isinstance(title, str) else "", str(node.get("class_type", "")), names)


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, Mapping):
        yield from content.items()


def _resolve_node(content: Any, path: str) -> tuple[str, str]:
    """Split a path into a node's key and the rest. Names may contain dots, so the longest matching name wins."""
    names: dict[str, dict[str, list[str]]] = {}
    for key, node in _items(content):
        title, class_type = get_path(node, "_meta.title"), get_path(node, "class_type")
        for kind, name in (("id", key), ("title", title), ("class", class_type)):
            if isinstance(name, str):
                names.setdefault(name, {}).setdefault(kind, []).append(key)
    for name in sorted(names, key=len, reverse=True):
        if path == name or path.startswith(f"{name}."):
            # An id is unique, and a title is chosen by a person; a class is the last resort.
            kind = next(kind for kind in ("id", "title", "class") if kind in names[name])
            keys = names[name][kind]
            if len(keys) > 1:
                message = f"{path!r} is ambiguous: the nodes {', '.join(keys)} have the {kind} {name!r}; use an id"
                raise PathError(f"{message}, as in '{keys[0]}{path[len(name) :]}'.")
            return keys[0], path[len(name) + 1 :]
    raise PathError(f"{path!r} does not exist: nothing in the document is called {path.partition('.')[0]!r}.")


def _describe_place(content: Any, key: str, rest: str) -> str:
    node = content[key]
    if not isinstance(node, Mapping) or "class_type" not in node:
        return f"{key!r} has no {rest!r}"
    return f"the node {_read_node(key, node)} has no {rest!r}"


def _describe(content: Any) -> Iterator[str]:
    """Yield the nodes of a document, or the message that it is not a workflow in API format."""
    nodes = list_nodes(content)
    if isinstance(get_path(content, "nodes"), list) and get_path(content, "links") is not MISSING:
        yield EXPORT_HINT
    elif nodes:
        listed = [str(node) for node in nodes[:MAX_LISTED_NODES]]
        more = f"; and {len(nodes) - MAX_LISTED_NODES} more" if len(nodes) > MAX_LISTED_NODES else ""
        yield f"The document's nodes: {'; '.join(listed)}{more}."
    elif below := next((key for key, value in _items(content) if list_nodes(value)), None):
        yield f"The nodes are below {below!r}: keep only this part, or begin each path with '{below}.'."
    else:
        keys = [repr(key) for key, _ in _items(content)][:MAX_LISTED_INPUTS]
        yield f"The document has no nodes; its keys: {', '.join(keys) or 'none'}."
