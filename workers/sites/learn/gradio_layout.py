"""The layout that a Gradio app publishes at ``config``, read into components with their places, and events.

Gradio 3 to 6 write it in slightly different forms; everything below is one form. Values come from the app, so parts of
an unexpected type are skipped.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TEXT_TYPES = frozenset({"textbox", "textarea", "multimodaltextbox"})
IMAGE_INPUT_TYPES = frozenset({"image", "imageeditor", "imagemask", "sketchpad", "paint"})
PICTURE_TYPES = frozenset({"image", "gallery"})
# Since this version the page has no ``component-N`` ids.
FIRST_VERSION_WITHOUT_IDS = 6
OPENING_TYPES = frozenset({"accordion", "sidebar"})
# Containers deeper than this are not read; public apps have about ten levels.
MAX_DEPTH = 100


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A component, compared by identity; ``ancestors`` are the containers around it, the outermost first."""

    id: int
    type: str
    props: Mapping[str, Any] = field(repr=False)
    order: int = 0
    ancestors: tuple["Component", ...] = field(default=(), repr=False)

    @property
    def label(self) -> str:
        """The words at the component: a label, or those on a button."""
        key = "value" if self.type == "button" else "label"
        value = self.props.get(key)
        return value.strip() if isinstance(value, str) else ""

    @property
    def element_id(self) -> str:
        """The id that the app's author gave it; empty if none."""
        value = self.props.get("elem_id")
        return value if isinstance(value, str) else ""

    @property
    def words(self) -> str:
        """All texts by which people recognize the component's purpose."""
        texts = (self.label, self.props.get("placeholder"), self.element_id)
        return " ".join(text for text in texts if isinstance(text, str) and text)

    @property
    def is_secret(self) -> bool:
        """Whether it is a field for a password or a key, which recipes do not fill in."""
        return self.props.get("type") == "password"

    @property
    def is_shown(self) -> bool:
        """Whether the component and the containers around it are visible, apart from tabs and accordions."""
        return all(component.props.get("visible", True) is True for component in (*self.ancestors, self))

    @property
    def tabs(self) -> tuple["Component", ...]:
        """The tab pages that the component stands in, the outermost first."""
        return tuple(component for component in self.ancestors if component.type == "tabitem")

    @property
    def closed_accordions(self) -> tuple["Component", ...]:
        """The accordions and sidebars around it that are closed when the page opens."""
        return tuple(
            component
            for component in self.ancestors
            if component.type in OPENING_TYPES and component.props.get("open") is False
        )


@dataclass(frozen=True, slots=True)
class Event:
    """The function that a trigger runs, with its inputs and outputs. ``after`` is the event that it follows.

    Gradio ends a running function at its next ``yield``, so it cannot stop a function that is not a generator.
    """

    id: int
    triggers: tuple[tuple[int, str], ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    cancels: tuple[int, ...] = ()
    after: int | None = None
    shows_progress: bool = True
    runs_function: bool = True
    is_generator: bool = True


@dataclass(frozen=True, slots=True)
class GradioLayout:
    """A Gradio app's page."""

    version: str
    title: str
    components: Mapping[int, Component] = field(repr=False)
    events: Mapping[int, Event] = field(repr=False)
    # The tab pages that are open when the page has loaded.
    open_tabs: frozenset[int] = frozenset()

    @property
    def has_component_ids(self) -> bool:
        """Whether the page gives each component without an id of its own the id ``component-N``."""
        major = re.match(r"\d+", self.version)
        return major is not None and int(major[0]) < FIRST_VERSION_WITHOUT_IDS

    def chain(self, event: Event) -> tuple[Event, ...]:
        """Return an event and those that it follows, the first one first."""
        chain = [event]
        while (after := chain[0].after) in self.events and len(chain) <= len(self.events):
            chain.insert(0, self.events[after])  # type: ignore[index] # it is among the keys
        return tuple(chain)

    def resolve(self, ids: Sequence[int]) -> tuple[Component, ...]:
        """Return the components with these ids that the page has."""
        return tuple(self.components[component_id] for component_id in ids if component_id in self.components)

    def closed_tabs(self, component: Component) -> tuple[Component, ...]:
        """Return the tab pages that must be opened to see the component, the outermost first."""
        tabs = component.tabs
        first = next((number for number, tab in enumerate(tabs) if tab.id not in self.open_tabs), len(tabs))
        return tabs[first:]


def read_layout(config: Mapping[str, Any]) -> GradioLayout:
    """Return the layout in a Gradio app's configuration."""
    page = _current_page(config)
    raw = {entry["id"]: entry for entry in _objects(config.get("components")) if isinstance(entry.get("id"), int)}
    components: dict[int, Component] = {}
    _place(page.get("layout") or config.get("layout"), raw, (), components)
    allowed = page.get("dependencies")
    events = {
        event.id: event
        for number, dependency in enumerate(_objects(config.get("dependencies")))
        if (event := _event(number, dependency)) and (not isinstance(allowed, list) or event.id in allowed)
    }
    return GradioLayout(
        str(config.get("version") or "").strip(),
        str(config.get("title") or "").strip(),
        components,
        events,
        _open_tabs(components),
    )


def _current_page(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the first page of an app with several; Gradio 3 and 4 have one without a description of its own."""
    pages = config.get("page")
    if not isinstance(pages, dict) or not pages:
        return {}
    page = pages.get(config.get("current_page") or "", next(iter(pages.values())))
    return page if isinstance(page, dict) else {}


def _place(
    node: Any,
    raw: Mapping[int, Mapping[str, Any]],
    ancestors: tuple[Component, ...],
    components: dict[int, Component],
    depth: int = 0,
) -> None:
    """Add the components of a layout tree in the order in which the page shows them."""
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return
    inner = ancestors
    if isinstance(identifier := node.get("id"), int) and identifier in raw and identifier not in components:
        properties = raw[identifier].get("props")
        component = Component(
            identifier,
            str(raw[identifier].get("type")),
            properties if isinstance(properties, dict) else {},
            len(components),
            ancestors,
        )
        components[identifier] = component
        inner = (*ancestors, component)
    for child in _objects(node.get("children")):
        _place(child, raw, inner, components, depth + 1)


def _event(number: int, dependency: Mapping[str, Any]) -> Event | None:
    identifier = dependency.get("id", number)
    if not isinstance(identifier, int):
        return None
    after = dependency.get("trigger_after")
    return Event(
        identifier,
        tuple(_triggers(dependency)),
        _integers(dependency.get("inputs")),
        _integers(dependency.get("outputs")),
        _integers(dependency.get("cancels")),
        after if isinstance(after, int) else None,
        dependency.get("show_progress") != "hidden",
        dependency.get("backend_fn") is not False,
        _is_generator(dependency),
    )


def _is_generator(dependency: Mapping[str, Any]) -> bool:
    types = dependency.get("types")
    return not isinstance(types, Mapping) or types.get("generator") is not False


def _triggers(dependency: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Yield the components and actions that start an event; before Gradio 3.39 all have one action."""
    targets = dependency.get("targets")
    for target in targets if isinstance(targets, list) else ():
        if isinstance(target, int):
            yield target, str(dependency.get("trigger"))
        elif isinstance(target, list) and len(target) == 2 and isinstance(target[0], int):
            yield target[0], str(target[1])


def _open_tabs(components: Mapping[int, Component]) -> frozenset[int]:
    """Return the tab pages that are open at first: the selected one of each group, or its first visible one."""
    groups: dict[int, list[Component]] = {}
    for component in components.values():
        if component.type == "tabitem" and component.ancestors and component.props.get("visible", True) is True:
            groups.setdefault(component.ancestors[-1].id, []).append(component)
    opened = set()
    for group, pages in groups.items():
        selected = components[group].props.get("selected")
        chosen = [page for page in pages if selected is not None and page.props.get("id") == selected]
        opened.add((chosen or pages)[0].id)
    return frozenset(opened)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _integers(value: Any) -> tuple[int, ...]:
    # Gradio 4 and later may write an input as [id, …].
    ids = [item[0] if isinstance(item, list) and item else item for item in value] if isinstance(value, list) else []
    return tuple(item for item in ids if isinstance(item, int))
