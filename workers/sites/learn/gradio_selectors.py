"""Selectors of the components of a Gradio page, the most stable alternative first.

An id given by the app's author outlives a label, and both outlive Gradio's own ``component-N``, which counts the
components and exists before Gradio 6 only.
"""

from collections.abc import Sequence

from workers.sites.learn.gradio_layout import IMAGE_INPUT_TYPES, Component, GradioLayout

# Alternatives as recipe files write them.
SelectorList = list[str | list[str]]

NUMBER_FIELD = "input[type='number']"
FIELDS = {
    "textbox": "textarea, input",
    "textarea": "textarea, input",
    "multimodaltextbox": "textarea",
    "number": NUMBER_FIELD,
    "slider": NUMBER_FIELD,
    "dropdown": "input",
    "checkbox": "input[type='checkbox']",
    "radio": "input[type='radio']",
}
# Components with file inputs.
UPLOAD_TYPES = IMAGE_INPUT_TYPES | {"audio", "file", "gallery", "model3d", "multimodaltextbox", "uploadbutton", "video"}
PICTURES = {"gallery": ".thumbnail-item img", "image": "img"}
# The pictures of any gallery or image, without those in texts and examples.
ALL_PICTURES: dict[str, SelectorList] = {
    "gallery": [".thumbnail-item img"],
    "image": [".image-frame img, .image-container img, [data-testid='image'] img"],
}
# The same elements with the words "Loading..." mean that the page itself is loading.
_WORKS = ":not(.hide, :has(.loading))"
BUSY = (f"[data-testid='status-tracker']{_WORKS}", f".wrap.default{_WORKS}", f".wrap.center{_WORKS}")
BLOCK = "ancestor::*[contains(concat(' ', @class, ' '), ' block ')][1]"
HEAD = "*[contains(concat(' ', @class, ' '), ' label-wrap ')]"


class GradioSelectors:
    """Selectors of one app's components."""

    def __init__(self, layout: GradioLayout) -> None:
        """Count which labels are unique."""
        self._layout = layout
        labels = [component.label for component in layout.components.values() if component.type != "dataset"]
        self._unique = {label for label in labels if label and labels.count(label) == 1}

    def _is_labelled(self, component: Component) -> bool:
        """Return whether the page shows a label at the component that no other one has."""
        # Pictures without a visible label have none in the page; other fields keep it for screen readers.
        is_hidden = component.type in PICTURES and component.props.get("show_label") is False
        return component.label in self._unique and not is_hidden

    def unique_selectors(self, component: Component) -> SelectorList:
        """Return selectors of a component that match no other one while it is hidden; empty if there are none."""
        if component.type == "button":
            is_named = component.element_id or component.label in self._unique or self._layout.has_component_ids
            return self.button(component) if is_named else []
        if component.type in FIELDS:
            is_found = self._inside(component, FIELDS[component.type]) or self.is_certain(component)
            return self.field(component) if is_found else []
        return self._inside(component, "*")

    def is_certain(self, component: Component) -> bool:
        """Return whether an id of its own or a unique label finds the component."""
        return bool(component.element_id) or self._is_labelled(component)

    def field(self, component: Component) -> SelectorList:
        """Return the selectors of the element that holds a component's value."""
        inner = FIELDS[component.type]
        alternatives: SelectorList = []
        if component.label in self._unique and component.type == "checkbox":
            alternatives.append(f'aria/{component.label}[role="checkbox"]')
        # The accessible name of these fields is their label alone.
        if component.label in self._unique and component.type in ("textbox", "number"):
            alternatives.append(f"aria/{component.label}")
        alternatives += self._inside(component, inner)
        return alternatives or [self._nth_field(component, inner)]

    def file_input(self, component: Component) -> SelectorList:
        """Return the selectors of an image's file input; empty if it cannot be told apart from others."""
        return self._inside(component, "input[type='file']") or (
            ["input[type='file']"] if self._is_only_upload(component) else []
        )

    def uploaded(self, component: Component) -> SelectorList:
        """Return the selectors of the picture that an image shows once it has been uploaded."""
        return self._inside(component, "img, canvas") or ALL_PICTURES["image"]

    def _is_only_upload(self, component: Component) -> bool:
        used = {item for event in self._layout.events.values() for item in event.inputs}
        uploads = [
            other for other in self._layout.components.values() if other.type in UPLOAD_TYPES and other.id in used
        ]
        return uploads == [component]

    def button(self, component: Component) -> SelectorList:
        """Return the selectors of a button."""
        named: SelectorList = [f'aria/{component.label}[role="button"]'] if component.label else []
        own: SelectorList = [f"#{component.element_id}"] if component.element_id else []
        if component.label in self._unique:
            return [*own, *named, *self._numbered(component)]
        return [*own, *self._numbered(component), *named] or [f"button.{component.props.get('variant', 'primary')}"]

    def tab(self, component: Component) -> SelectorList:
        """Return the selectors of the button that opens a tab page."""
        # Gradio 3 gives these buttons no role of their own.
        return [f'aria/{component.label}[role="tab"]', [".tab-nav", f'aria/{component.label}[role="button"]']]

    def accordion(self, component: Component) -> SelectorList:
        """Return the selectors of the head of an accordion, or of the button that opens a sidebar."""
        if component.type == "sidebar":
            return [".sidebar:not(.open) > .toggle-button"]
        own = [f"#{component.element_id} > .label-wrap"] if component.element_id else []
        labelled = [f"xpath///{HEAD}[span[normalize-space() = {xpath_literal(component.label)}]]"]
        numbered = [f"#component-{component.id} > .label-wrap"] if self._layout.has_component_ids else []
        return [*own, *labelled, *numbered] if component.label in self._unique else [*own, *numbered, *labelled]

    def pictures(self, components: tuple[Component, ...]) -> SelectorList:
        """Return the selectors of the pictures of a gallery or of several images."""
        inner = PICTURES[components[0].type]
        if len(components) > 1:
            blocks = self._blocks(components)
        else:
            blocks = [chain[0] for chain in self._inside(components[0], "*") if isinstance(chain, list)]
        alternatives: SelectorList = [[block, inner] for block in blocks]
        others = [
            other for other in self._layout.components.values() if other.type in PICTURES and other not in components
        ]
        return alternatives if others and alternatives else [*alternatives, *ALL_PICTURES[components[0].type]]

    def _blocks(self, components: tuple[Component, ...]) -> list[str]:
        """Return the selectors that find all blocks of several components at once."""
        blocks = []
        if all(component.element_id for component in components):
            blocks.append(f":is({', '.join(f'#{component.element_id}' for component in components)})")
        if all(self._is_labelled(component) for component in components):
            blocks.append(labelled_block(*components))
        if self._layout.has_component_ids:
            blocks.append(f":is({', '.join(f'#component-{component.id}' for component in components)})")
        return blocks

    def busy(self, component: Component) -> SelectorList:
        """Return the selectors of the sign that a component waits for its value."""
        return [selector for inner in BUSY for selector in self._inside(component, inner)] or list(BUSY)

    def _inside(self, component: Component, inner: str) -> SelectorList:
        """Return the selectors of elements inside a component, as far as it can be found."""
        alternatives: SelectorList = []
        if component.element_id:
            alternatives.append([f"#{component.element_id}", inner])
        if self._is_labelled(component):
            alternatives.append([labelled_block(component), inner])
        return [*alternatives, *([selector, inner] for selector in self._numbered(component))]

    def _numbered(self, component: Component) -> list[str]:
        return [f"#component-{component.id}"] if self._layout.has_component_ids else []

    def _nth_field(self, component: Component, inner: str) -> str:
        """Return the selector of a field by its number among those of its kind that are visible with it."""
        siblings = [
            sibling
            for sibling in self._layout.components.values()
            if sibling.type in FIELDS
            and FIELDS[sibling.type] == inner
            and sibling.is_shown
            and self._is_visible_with(sibling, component)
        ]
        number = siblings.index(component) + 1 if component in siblings else 1
        visible = ", ".join(f".block {part.strip()}:visible" for part in inner.split(","))
        return f":nth-match({visible}, {number})"

    def _is_visible_with(self, component: Component, other: Component) -> bool:
        """Return whether a component is visible while the tab pages of another one are open."""
        opened = self._layout.open_tabs | {tab.id for tab in other.tabs}
        groups = {tab.ancestors[-1].id for tab in other.tabs}
        return all(
            tab in other.tabs or (tab.id in opened and tab.ancestors[-1].id not in groups) for tab in component.tabs
        ) and all(accordion in other.closed_accordions for accordion in component.closed_accordions)


def labelled_block(*components: Component) -> str:
    """Return the selector of the innermost blocks whose labels are exactly the components'."""
    test_id = "block-info" if components[0].type in FIELDS else "block-label"
    labels = " or ".join(f"normalize-space() = {xpath_literal(component.label)}" for component in components)
    return f"xpath///*[@data-testid='{test_id}'][{labels}]/{BLOCK}"


def xpath_literal(text: str) -> str:
    """Return a text as a string of XPath, which has no escapes."""
    text = " ".join(text.split())
    if "'" not in text:
        return f"'{text}'"
    if '"' not in text:
        return f'"{text}"'
    parts: Sequence[str] = [f"'{part}'" for part in text.split("'")]
    return "concat(" + ', "\'", '.join(parts) + ")"
