"""Choice of the event of a Gradio app that makes a picture from a text: candidates, the most likely first."""

from dataclasses import dataclass, replace

from workers.sites.learn.gradio_layout import (
    IMAGE_INPUT_TYPES,
    PICTURE_TYPES,
    TEXT_TYPES,
    Component,
    Event,
    GradioLayout,
)
from workers.sites.learn.vocabulary import GENERATE, NEGATIVE, OTHER_TASKS, PROMPT, mentions

CLICK, ENTER = "click", "submit"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event with its parts: what starts it and how, the prompt, the inputs that it uses, and where its pictures go.

    ``action`` is ``click`` for a button and ``submit`` for the Enter key in the prompt.
    """

    event: Event
    trigger: Component
    action: str
    prompt: Component
    inputs: tuple[Component, ...]
    image_inputs: tuple[Component, ...]
    outputs: tuple[Component, ...]
    score: int = 0


class NoCandidateError(Exception):
    """No event of the app makes a picture from a text; the message says what it lacks."""


def find_candidates(layout: GradioLayout) -> list[Candidate]:
    """Return the events that make a picture from a text, the most likely first.

    Raises:
        NoCandidateError: there are none.
    """
    found = [candidate for event in layout.events.values() for candidate in _candidates(layout, event)]
    if not found:
        raise NoCandidateError(_explain_absence(layout))
    found.sort(key=lambda candidate: (-candidate.score, candidate.trigger.order, candidate.outputs[0].order))
    # A button and the Enter key often start the same work.
    unique: dict[tuple[tuple[int, ...], tuple[int, ...]], Candidate] = {}
    for candidate in found:
        unique.setdefault((candidate.event.inputs, candidate.event.outputs), candidate)
    return list(unique.values())


def _candidates(layout: GradioLayout, event: Event) -> list[Candidate]:
    outputs = [item for item in layout.resolve(event.outputs) if item.type in PICTURE_TYPES]
    chain = layout.chain(event)
    used = layout.resolve(tuple(dict.fromkeys(item for link in chain for item in link.inputs)))
    inputs = tuple(item for item in used if item.is_shown and item.props.get("interactive") is not False)
    texts = [item for item in inputs if item.type in TEXT_TYPES and not item.is_secret]
    prompt = _choose_prompt(texts)
    trigger = _choose_trigger(layout, chain[0], prompt)
    if not (outputs and prompt and trigger and event.runs_function):
        return []
    component, action = trigger
    pictures = tuple(item for item in inputs if item.type in IMAGE_INPUT_TYPES)
    results = _choose_outputs(outputs, pictures)
    candidate = Candidate(event, component, action, prompt, inputs, pictures, results)
    return [replace(candidate, score=_score(layout, candidate))]


def _choose_outputs(outputs: list[Component], sources: tuple[Component, ...]) -> tuple[Component, ...]:
    """Return where the results are: a gallery, else all images that are not also sources."""
    results = [output for output in outputs if output not in sources] or outputs
    galleries = [output for output in results if output.type == "gallery"]
    return tuple(galleries[:1] or results)


def _choose_prompt(texts: list[Component]) -> Component | None:
    """Return the text field for the prompt: by its words, else the first that is not for what to leave out."""
    positive = [field for field in texts if not mentions(field.words, NEGATIVE)]
    if not positive:
        return None
    return max(positive, key=lambda field: (mentions(field.words, PROMPT), -field.order))


def _choose_trigger(layout: GradioLayout, first: Event, prompt: Component | None) -> tuple[Component, str] | None:
    """Return what starts a chain of events: a visible button, or Enter in the prompt."""
    targets = [(layout.components[item], action) for item, action in first.triggers if item in layout.components]
    for component, action in targets:
        if component.type == "button" and action == CLICK and component.is_shown:
            return component, action
    return next(((item, action) for item, action in targets if item == prompt and action == ENTER), None)


def _score(layout: GradioLayout, candidate: Candidate) -> int:
    trigger = candidate.trigger
    score = 4 * mentions(candidate.prompt.words, PROMPT) + 4 * mentions(trigger.words, GENERATE)
    score -= 6 * mentions(trigger.words, OTHER_TASKS) if trigger.type == "button" else 0
    score += 2 * (trigger.props.get("variant") == "primary") + min(len(candidate.inputs), 6)
    score -= 8 * len(candidate.image_inputs) + 2 * (trigger.type != "button")
    # An app opens with its main task.
    return score - len(layout.closed_tabs(trigger)) - 2 * len(trigger.closed_accordions)


def _explain_absence(layout: GradioLayout) -> str:
    shown = [component for component in layout.components.values() if component.is_shown]
    types = {component.type for component in shown}
    if not types & PICTURE_TYPES:
        others = sorted(types & {"html", "chatbot", "file", "video", "model3d", "imageslider", "annotatedimage"})
        places = f" Its results may be in: {', '.join(others)}." if others else ""
        return f"The app shows no image and no gallery, so there is nothing to take a picture from.{places}"
    if not types & TEXT_TYPES:
        return "The app has no text field, so there is nowhere to put a prompt."
    return (
        "No event of the app takes a text and returns a picture at a button or the Enter key; the page may do this by "
        "a script of its own."
    )
