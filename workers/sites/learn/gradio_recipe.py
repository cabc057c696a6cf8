"""A recipe for a Gradio app, made from one of its events: opens what hides the fields, fills them in, and submits."""

from typing import Any

from workers.sites.learn.gradio_events import CLICK, Candidate
from workers.sites.learn.gradio_inputs import LearnedInput, LearnedInputs, describe, learn_inputs
from workers.sites.learn.gradio_layout import Component, Event, GradioLayout
from workers.sites.learn.gradio_selectors import GradioSelectors, SelectorList
from workers.sites.learn.recipe_draft import RecipeDraft

LOAD_TIMEOUT_MS = 60_000
# A program is stopped within two seconds or not at all.
STOP_TIMEOUT_MS = 500
SETTLE_MS = 300
ERRORS = [
    ".toast-body.error [data-testid='toast-text']",
    ".toast-body.error .toast-text",
    ".toast-body.error",
    ".wrap.default:not(.hide) > .error",
    "[data-testid='status-tracker']:not(.hide) > .error",
]
# The message of an event that failed, which pages that hide their progress do not show.
FAILED_EVENT = {"frames": {"match": {"msg": "process_completed", "success": False}, "text": "output.error"}}
LOGIN = [".gradio-container .min-h-screen:has(input[type='password'])", "iframe[src*='captcha']"]

Step = dict[str, Any]


class GradioRecipeWriter:
    """Writes the recipe of one event of an app."""

    def __init__(self, layout: GradioLayout, candidate: Candidate) -> None:
        """Sort the event's inputs by the tab pages that they stand in."""
        self._layout = layout
        self._candidate = candidate
        self._selectors = GradioSelectors(layout)
        others = tuple(component for component in candidate.inputs if self._can_fill(component))
        self._learned: LearnedInputs = learn_inputs(others)
        self._opened: set[int] = set()

    def _can_fill(self, component: Component) -> bool:
        """Whether a component may become an input: not the prompt, and no image whose file input cannot be found."""
        is_found = component.type != "image" or bool(self._selectors.file_input(component))
        return component != self._candidate.prompt and is_found

    @property
    def has_images(self) -> bool:
        """Whether the recipe has inputs for pictures."""
        return any(learned.spec["type"] == "image" for learned in self._learned.inputs)

    def write(self, url: str, title: str, *, needs_images: bool = False) -> RecipeDraft:
        """Return the recipe for the app at ``url``; ``needs_images``: its inputs for pictures are required."""
        outputs = self._candidate.outputs
        recipe: dict[str, Any] = {
            "title": title,
            "description": f"A page made with Gradio {self._layout.version}; {describe(self._candidate.prompt)} is the "
            "prompt.",
            "url": url,
            "consent": {"ownership": "own"},
            "limits": {"concurrency": 1, "min_interval_s": 0},
            "inputs": {item.name: self._input(item, needs_images=needs_images) for item in self._learned.inputs},
            "steps": self._steps(),
            "observe": self._observe(),
            "capture": {"many": len(outputs) > 1 or outputs[0].type == "gallery"},
        }
        if stops := self._stop_buttons():
            recipe["cancel"] = self._cancel(stops[0])
        summary = self._summary() + (" It gets a source picture." if needs_images else "")
        return RecipeDraft(recipe, f"Gradio {self._layout.version}", summary, tuple(self._doubts()))

    @staticmethod
    def _input(learned: LearnedInput, *, needs_images: bool) -> dict[str, Any]:
        is_required = needs_images and learned.spec["type"] == "image"
        return {**learned.spec, **({"required": True} if is_required else {})}

    def _summary(self) -> str:
        candidate = self._candidate
        start = f'the button "{candidate.trigger.label}"' if candidate.action == CLICK else "the Enter key"
        results = ", ".join(describe(output) for output in candidate.outputs)
        return (
            f"The prompt goes to {describe(candidate.prompt)}, {start} submits it, and the result appears in {results}."
        )

    def _steps(self) -> list[Step]:
        prompt, trigger, output = self._candidate.prompt, self._candidate.trigger, self._candidate.outputs[0]
        steps: list[Step] = [{"type": "navigate", "url": "{{url}}", "timeout": LOAD_TIMEOUT_MS}]
        steps += self._reveal(prompt)
        # The first element appears only once the app's script has built the page.
        found = self._selectors.field(prompt) if len(steps) == 1 else steps[1]["selectors"]
        steps.insert(1, {"type": "waitForElement", "selectors": found, "timeout": LOAD_TIMEOUT_MS})
        for learned in sorted(self._learned.inputs, key=self._distance):
            steps += self._reveal(learned.component)
            steps += self._fill(learned)
        steps += [*self._reveal(prompt), self._change(prompt, "{{prompt}}")]
        if self._candidate.action == CLICK:
            steps += self._reveal(trigger)
            steps.append({"type": "click", "selectors": self._selectors.button(trigger), "submits": True})
        else:
            steps += [{"type": "keyDown", "key": "Enter", "submits": True}, {"type": "keyUp", "key": "Enter"}]
        return [*steps, *self._reveal(output)]

    def _distance(self, learned: LearnedInput) -> tuple[bool, int]:
        """Sort fields in the tab pages of the prompt first, so that few tab pages have to be opened."""
        component = learned.component
        return component.tabs != self._candidate.prompt.tabs, component.order

    def _reveal(self, component: Component) -> list[Step]:
        """Return the steps that open the tab pages and accordions around a component, in the state that is known."""
        containers = [tab for tab in component.tabs if not self._is_open(tab)]
        for tab in component.tabs:
            self._open_tab(tab)
        for accordion in component.closed_accordions:
            if accordion.id not in self._opened:
                self._opened.add(accordion.id)
                containers.append(accordion)
        return self._open_steps(containers, component)

    def _open_steps(self, containers: list[Component], component: Component) -> list[Step]:
        """Return a step for each container: one that opens it only where needed, or else a plain click."""
        steps: list[Step] = []
        # The picture of a result is not there yet.
        is_result = component in self._candidate.outputs
        reveals = [] if is_result else self._selectors.unique_selectors(component)
        for container in reversed(containers):
            opener = self._opener(container)
            # The fields of a closed sidebar are outside the window, and count as visible.
            if reveals and container.type != "sidebar":
                steps.append({"type": "customStep", "name": "open", "selectors": opener, "reveals": reveals})
            else:
                steps.append({"type": "click", "selectors": opener})
            reveals = [] if is_result else opener
        return steps[::-1]

    def _opener(self, container: Component) -> SelectorList:
        is_tab = container.type == "tabitem"
        return self._selectors.tab(container) if is_tab else self._selectors.accordion(container)

    def _is_open(self, tab: Component) -> bool:
        group = tab.ancestors[-1].id
        changed = [opened_id for opened_id in self._opened if self._group(opened_id) == group]
        return tab.id in (changed or self._layout.open_tabs)

    def _open_tab(self, tab: Component) -> None:
        group = tab.ancestors[-1].id
        self._opened = {opened_id for opened_id in self._opened if self._group(opened_id) != group} | {tab.id}

    def _group(self, tab_id: int) -> int | None:
        tab = self._layout.components[tab_id]
        return tab.ancestors[-1].id if tab.type == "tabitem" else None

    def _fill(self, learned: LearnedInput) -> list[Step]:
        component = learned.component
        placeholder = f"{{{{{learned.name}}}}}"
        steps: list[Step] = []
        random_seed = self._learned.random_seed
        if learned.name == "seed" and random_seed:
            steps += [*self._reveal(random_seed), self._change(random_seed, "false") | {"when": "seed"}]
            steps += self._reveal(component)
        if component.type == "image":
            return [*steps, *self._upload(learned)]
        if component.type == "dropdown":
            step = {"type": "customStep", "name": "choose", "selectors": self._selectors.field(component)}
            return [*steps, step | {"value": placeholder, "when": learned.name}]
        return [*steps, self._change(component, placeholder) | {"when": learned.name}]

    def _upload(self, learned: LearnedInput) -> list[Step]:
        """Return the steps that hand a picture to the page, and wait until the page has it."""
        selectors = self._selectors.file_input(learned.component)
        uploaded = self._selectors.uploaded(learned.component)
        return [
            {"type": "customStep", "name": "upload", "image": learned.name, "selectors": selectors},
            {"type": "waitForElement", "selectors": uploaded, "when": learned.name, "timeout": LOAD_TIMEOUT_MS},
        ]

    def _cancel(self, button: Component) -> dict[str, Any]:
        """Return the section that stops the app: its button ends an event that waits, and a generator that runs."""
        containers = [*button.tabs, *button.closed_accordions] if self._selectors.unique_selectors(button) else []
        steps = [step | {"timeout": STOP_TIMEOUT_MS} for step in self._open_steps(containers, button)]
        click = {"type": "click", "selectors": self._selectors.button(button), "timeout": STOP_TIMEOUT_MS}
        running = {"steps": [*steps, click]} if self._candidate.event.is_generator else {}
        return {**running, "waiting_steps": [*steps, click]}

    def _change(self, component: Component, value: str) -> Step:
        return {"type": "change", "selectors": self._selectors.field(component), "value": value}

    def _observe(self) -> dict[str, Any]:
        outputs = self._candidate.outputs
        pictures = self._selectors.pictures(outputs)
        observe = {
            "preview": {"selectors": pictures},
            "progress": {"selectors": [".progress-level-inner"], "pattern": r"(\d+(?:\.\d+)?)\s*%"},
            "error": [{"selectors": ERRORS}, FAILED_EVENT],
            "human": {"selectors": LOGIN},
            "done": {"selectors": pictures, "settle_ms": SETTLE_MS},
        }
        # A sign that never appears still says that a picture may be a preview: it counts once the event's request ends.
        sign = self._working_component() or outputs[0]
        return {**observe, "busy": {"selectors": self._selectors.busy(sign)}}

    def _working_component(self) -> Component | None:
        """Return a visible component that shows the event's progress: a result, else any other output."""
        candidate = self._candidate
        if not candidate.event.shows_progress:
            return None
        outputs = (*candidate.outputs, *self._layout.resolve(candidate.event.outputs))
        return next((output for output in outputs if output.is_shown), None)

    def _doubts(self) -> list[str]:
        candidate, selectors = self._candidate, self._selectors
        doubts = list(self._learned.doubts)
        if self._stop_buttons() and not candidate.event.is_generator:
            doubts.append("The app's function is not a generator, so its stop button only removes requests that wait.")
        fields = [candidate.prompt, *(learned.component for learned in self._learned.inputs)]
        doubts += [
            f"{describe(component)} is found only by its position, because its label is missing or not unique; an id "
            "(elem_id) in the app makes it certain."
            for component in fields
            if not selectors.is_certain(component)
        ]
        learned = {learned.component for learned in self._learned.inputs}
        if others := [item for item in candidate.image_inputs if item not in learned]:
            names = ", ".join(describe(component) for component in others)
            doubts.append(f"The event also takes {names}, which stays empty: it may refuse to work without one.")
        if self._working_component() is None:
            reason = "its results are hidden" if candidate.event.shows_progress else "show_progress is hidden"
            doubts.append(
                f"The app does not show that it works ({reason}), so a picture counts as finished "
                "once the request for it has ended."
            )
        return doubts

    def _stop_buttons(self) -> list[Component]:
        """Return the buttons that cancel the event or one of those before it."""
        chain = {event.id for event in self._layout.chain(self._candidate.event)}
        stops: list[Event] = [event for event in self._layout.events.values() if chain & set(event.cancels)]
        buttons = self._layout.resolve(
            tuple(component_id for event in stops for component_id, action in event.triggers if action == CLICK)
        )
        return [button for button in dict.fromkeys(buttons) if button.type == "button"]
