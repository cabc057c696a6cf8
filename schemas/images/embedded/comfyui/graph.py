"""A graph of ComfyUI in the form in which it is run: nodes by id, inputs that are values or links. Pure.

Links may go in circles or nowhere; every walk visits a node once.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

MOST_NODES = 5000
MOST_HOPS = 10
# Under these, nodes that only hold or pass a value have it.
VALUES = ("value", "Value", "int", "float", "number", "seed", "noise_seed", "string", "text", "source", "any_01")


@dataclass(frozen=True, slots=True)
class Node:
    """One node. ``kind`` is its class in lower case; ``links`` has by inputs' names the nodes that they come from."""

    id: str
    kind: str
    inputs: Mapping[str, Any]
    links: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes, in the order in which they stand."""

    nodes: Mapping[str, Node]

    @classmethod
    def parse(cls, prompt: Any) -> Self | None:
        """Of what is under ``prompt``; None if nothing there is a node."""
        if not isinstance(prompt, dict) or len(prompt) > MOST_NODES:
            return None
        found = [_node(name, node) for name, node in prompt.items() if isinstance(node, dict)]
        nodes = {node.id: node for node in found if node}
        return cls(nodes) if nodes else None

    def upstream(self, start: str | None, follow: Callable[[Node], Iterable[str]]) -> Iterator[Node]:
        """The node and those it depends on, near ones first; ``follow`` gives the ids to go on with."""
        waiting, seen = deque([start]), {start}
        while waiting:
            node = self.nodes.get(waiting.popleft() or "")
            if node is None:
                continue
            yield node
            fresh = [name for name in dict.fromkeys(follow(node)) if name not in seen]
            seen.update(fresh)
            waiting.extend(fresh)

    def resolve_value(self, node: Node | None, *names: str) -> Any:
        """The first of these inputs that has a value, also where it comes over links from nodes that hold it."""
        wanted = names
        for _ in range(MOST_HOPS):
            found = next((node.inputs[name] for name in wanted if name in node.inputs), None) if node else None
            following = link_target(found)
            if following is None:
                return None if isinstance(found, list | dict) else found
            node, wanted = self.nodes.get(following), (*names, *VALUES)
        return None

    def linked_node(self, node: Node | None, *names: str) -> Node | None:
        """The node that the first of these inputs is linked to."""
        links = node.links if node else {}
        return next((self.nodes.get(links[name]) for name in names if name in links), None)


def _node(name: str, found: dict[str, Any]) -> Node | None:
    kind, inputs = found.get("class_type"), found.get("inputs")
    if not isinstance(kind, str):
        return None
    inputs = inputs if isinstance(inputs, dict) else {}
    targets = {key: link_target(value) for key, value in inputs.items()}
    return Node(name, kind[:200].lower(), inputs, {key: node for key, node in targets.items() if node is not None})


def link_target(value: Any) -> str | None:
    """The id of the node that an input is linked to; None if it is a value."""
    is_link = isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int) and type(value[1]) is int
    return str(value[0]) if is_link else None
