"""A ComfyUI graph in its API form: nodes by id, whose inputs are values or links to other nodes.

Links may form cycles or lead nowhere; every walk visits a node once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

MAX_NODES = 5000
MAX_HOPS = 10
MAX_CLASS_CHARS = 200
# Inputs under which primitive and pass-through nodes hold their value.
VALUE_INPUTS = (
    *("value", "Value", "int", "float", "number", "seed", "noise_seed"),
    *("string", "text", "source", "any_01"),
)


@dataclass(frozen=True, slots=True)
class Node:
    """A node. ``kind`` is its class in lower case; ``links`` maps input names to the ids of the linked nodes."""

    id: str
    kind: str
    inputs: Mapping[str, Any]
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes by id, in the order of the document."""

    nodes: Mapping[str, Node]

    @classmethod
    def parse(cls, prompt: Any) -> Self | None:
        """Parse the object under ``prompt``; None if it has no nodes, or too many."""
        if not isinstance(prompt, dict) or len(prompt) > MAX_NODES:
            return None
        nodes = [_parse_node(id_, node) for id_, node in prompt.items() if isinstance(node, dict)]
        by_id = {node.id: node for node in nodes if node}
        return cls(by_id) if by_id else None

    def upstream(self, start: str | None, follow: Callable[[Node], Iterable[str]]) -> Iterator[Node]:
        """Yield the node and those it depends on, breadth first; ``follow`` returns the ids to go on with."""
        queue, seen = deque([start]), {start}
        while queue:
            node = self.nodes.get(queue.popleft() or "")
            if node is None:
                continue
            yield node
            unseen = [id_ for id_ in dict.fromkeys(follow(node)) if id_ not in seen]
            seen.update(unseen)
            queue.extend(unseen)

    def resolve_value(self, node: Node | None, *names: str) -> Any:
        """Return the first of these inputs that exists, following links to the node that holds the value."""
        candidates = names
        for _ in range(MAX_HOPS):
            value = next((node.inputs[name] for name in candidates if name in node.inputs), None) if node else None
            target = link_target(value)
            if target is None:
                return None if isinstance(value, list | dict) else value
            node, candidates = self.nodes.get(target), (*names, *VALUE_INPUTS)
        return None

    def linked_node(self, node: Node | None, *names: str) -> Node | None:
        """Return the node that the first linked one of these inputs leads to."""
        links = node.links if node else {}
        return next((self.nodes.get(links[name]) for name in names if name in links), None)


def _parse_node(id_: str, document: dict[str, Any]) -> Node | None:
    kind, inputs = document.get("class_type"), document.get("inputs")
    if not isinstance(kind, str):
        return None
    inputs = inputs if isinstance(inputs, dict) else {}
    links = {name: target for name, value in inputs.items() if (target := link_target(value)) is not None}
    return Node(id_, kind[:MAX_CLASS_CHARS].lower(), inputs, links)


def link_target(value: Any) -> str | None:
    """Return the node id of a link, ``[id, output index]``; None for a value."""
    is_link = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and type(value[1]) is int
    return str(value[0]) if is_link else None
