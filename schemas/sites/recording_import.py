"""Drafts of recipes from recordings of Chrome's Recorder (JSON) or Playwright's codegen (JSON lines).

Prompt, inputs and the submitting step are guessed from selectors and values; the draft lists what a person must add.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import Invalid
from schemas.format_error import FormatError
from schemas.sites.step_schemas import MAX_STEP_TIMEOUT_MS, REQUIRED_KEYS
from schemas.untrusted_json import JsonReader

JSON_READER = JsonReader()
SUPPORTED_STEPS = frozenset(REQUIRED_KEYS) - {"customStep"}
SUPPORTED_KEYS = (
    "type", "url", "selectors", "value", "key", "width", "height", "x", "y", "count", "visible", "timeout",
)  # fmt: skip
# The types of keys whose values are not strings.
KEY_TYPES: dict[str, type] = {"selectors": list, "width": int, "height": int}
# Words in a selector, by which the purpose of an element is guessed.
SUBMIT_WORDS = re.compile(r"(?i)\b(generate|create|submit|run|draw|paint|imagine|make|queue|send)\b")
NEGATIVE_WORDS = re.compile(r"(?i)negative")
NUMERIC_INPUT_WORDS = re.compile(r"(?i)\b(seed|steps|width|height|cfg|guidance|scale|strength|batch|count|number)\b")


@dataclass
class RecipeDraft:
    """A draft: the content of the recipe's TOML file, and a sentence for each thing that a person must add."""

    recipe: dict[str, Any]
    missing: list[str] = field(default_factory=list)


def import_recording(text: str) -> RecipeDraft:
    """Return the draft of a recipe from a recording.

    Raises:
        Invalid: the format is unknown, or the recording opens no page.
    """
    recording = _parse(text)
    steps, problems = _supported_steps(recording["steps"])
    if not any(step["type"] == "navigate" for step in steps):
        raise Invalid("The recording opens no page: start recording before the page is loaded.")
    draft = _draft(str(recording.get("title") or "Recorded"), _merge_repeated_changes(steps))
    draft.missing = [*problems, *draft.missing]
    return draft


def _parse(text: str) -> dict[str, Any]:
    try:
        recording = JSON_READER.parse(text)
    except FormatError:
        return {"title": "Recorded", "steps": _steps_from_playwright(text)}
    if not isinstance(recording, dict) or not isinstance(recording.get("steps"), list):
        raise Invalid("Not a recording: it has no list 'steps', as Chrome's Recorder exports it.")
    return recording


def _supported_steps(recorded: list[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the steps that a recipe can have, and a sentence for each one that was dropped or changes its meaning."""
    steps, problems = [], []
    for number, step in enumerate(recorded):
        kind = step.get("type") if isinstance(step, Mapping) else None
        label = f"step {number} of the recording ({kind or 'no step'})"
        if kind not in SUPPORTED_STEPS:
            problems.append(f"{label} was dropped: recipes have no such step.")
            continue
        # Chrome records its own pages, such as chrome://newtab.
        if kind == "navigate" and not str(step.get("url", "")).startswith(("http://", "https://")):
            continue
        if wrong := [key for key in REQUIRED_KEYS[kind] if not isinstance(step.get(key), KEY_TYPES.get(key, str))]:
            problems.append(f"{label} was dropped: its {wrong[0]} is missing or has the wrong type.")
            continue
        if step.get("frame"):
            problems.append(f"{label} is inside a frame: recipes reach only the page itself.")
        steps.append(_supported_keys(step))
    return steps, problems


def _supported_keys(step: Mapping[str, Any]) -> dict[str, Any]:
    supported = {key: step[key] for key in SUPPORTED_KEYS if key in step}
    if isinstance(supported.get("selectors"), list):
        chains = [chain if isinstance(chain, list) else [chain] for chain in supported["selectors"]]
        supported["selectors"] = [chain[0] if len(chain) == 1 else chain for chain in chains if chain]
    if isinstance(supported.get("timeout"), int):
        supported["timeout"] = max(1, min(supported["timeout"], MAX_STEP_TIMEOUT_MS))
    return supported


def _merge_repeated_changes(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the last of consecutive changes of a field: the Recorder writes one at each pause in typing."""
    merged: list[dict[str, Any]] = []
    for step in steps:
        if merged and step["type"] == merged[-1]["type"] == "change" and step["selectors"] == merged[-1]["selectors"]:
            merged.pop()
        merged.append(step)
    return merged


def _draft(title: str, steps: list[dict[str, Any]]) -> RecipeDraft:
    url = next(step["url"] for step in steps if step["type"] == "navigate")
    recipe: dict[str, Any] = {"title": title, "description": f"Recorded at {urlsplit(url).netloc}.", "url": url}
    recipe |= {"consent": {"ownership": "own"}, "limits": {"concurrency": 1, "min_interval_s": 1}}
    draft = RecipeDraft(recipe)
    recipe["inputs"] = _insert_placeholders(steps, draft)
    _mark_submitting_step(steps, draft)
    for step in steps:
        if step["type"] == "navigate" and step["url"] == url:
            step["url"] = "{{url}}"
    recipe["steps"] = steps
    recipe["observe"] = {"done": {"selectors": ["main img", "img"]}}
    draft.missing += [
        "observe.done: the element that shows the finished picture; 'img' is only a guess.",
        "observe.error, observe.progress, observe.preview: where the page shows these, if it does.",
        "consent: 'own' is right for your own page; other pages need ownership = 'terms' and their terms_url.",
    ]
    return draft


def _insert_placeholders(steps: list[dict[str, Any]], draft: RecipeDraft) -> dict[str, Any]:
    """Replace typed values by placeholders, and return the inputs that these need."""
    changes = [step for step in steps if step["type"] == "change"]
    texts = [step for step in changes if not NEGATIVE_WORDS.search(_hints(step)) and not _is_number(step["value"])]
    if texts:
        max(texts, key=lambda step: len(step["value"]))["value"] = "{{prompt}}"
    else:
        draft.missing.append("{{prompt}}: no step of the recording types text into a field.")
    inputs: dict[str, Any] = {}
    for step in changes:
        name = _guess_input(step)
        if name and step["value"] != "{{prompt}}":
            number_type = "number" if "." in step["value"] else "integer"
            inputs[name] = {"type": "string" if name == "negative_prompt" else number_type}
            step |= {"value": f"{{{{{name}}}}}", "when": name}
    return inputs


def _guess_input(step: Mapping[str, Any]) -> str | None:
    if NEGATIVE_WORDS.search(_hints(step)):
        return "negative_prompt"
    match = NUMERIC_INPUT_WORDS.search(_hints(step))
    return match[1].lower() if match and _is_number(step["value"]) else None


def _mark_submitting_step(steps: list[dict[str, Any]], draft: RecipeDraft) -> None:
    clicks = [step for step in steps if step["type"] == "click"]
    likely = [step for step in clicks if SUBMIT_WORDS.search(_hints(step))] or clicks
    candidates = likely or [step for step in steps if step["type"] == "keyDown" and step.get("key") == "Enter"]
    if candidates:
        candidates[-1]["submits"] = True
    else:
        draft.missing.append("submits = true: at the step that submits the prompt.")


def _hints(step: Mapping[str, Any]) -> str:
    """Return the words of a step's selectors."""
    return re.sub(r"[_-]", " ", json.dumps(step.get("selectors", [])))


def _is_number(value: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d+)?", value))


def _steps_from_playwright(text: str) -> list[dict[str, Any]]:
    """Return the steps of a Playwright recording in the Recorder's vocabulary."""
    steps = []
    for line in text.splitlines():
        try:
            action = JSON_READER.parse(line)
        except FormatError as error:
            raise Invalid("Not a recording: neither JSON nor JSON lines.") from error
        if isinstance(action, dict) and (step := _step_from_action(action)):
            steps.append(step)
    return steps


def _step_from_action(action: Mapping[str, Any]) -> dict[str, Any] | None:
    name, url = action.get("name"), action.get("url")
    if name in ("navigate", "openPage"):
        return {"type": "navigate", "url": url} if url and url != "about:blank" else None
    selector = _selector_from_locator(action.get("locator")) or _convert_selector(str(action.get("selector", "")))
    step = {"selectors": [selector]}
    if name in ("click", "check"):
        return {"type": "click", **step}
    if name == "fill":
        return {"type": "change", **step, "value": str(action.get("text", ""))}
    if name == "select":
        return {"type": "change", **step, "value": str((action.get("options") or [""])[0])}
    return {"type": "keyDown", "key": str(action.get("key", ""))} if name == "press" else None


def _selector_from_locator(locator: Any) -> str | None:
    if not isinstance(locator, Mapping):
        return None
    kind, body, options = locator.get("kind"), str(locator.get("body", "")), locator.get("options") or {}
    if kind == "role" and options.get("name"):
        return f'aria/{options["name"]}[role="{body}"]'
    selectors = {
        "label": f"aria/{body}",
        "alt": f"aria/{body}",
        "text": f"text/{body}",
        "default": body,
        "placeholder": f"[placeholder={json.dumps(body)}]",
        "test-id": f"[data-testid={json.dumps(body)}]",
    }
    return selectors.get(str(kind))


def _convert_selector(selector: str) -> str:
    """Return the Recorder's form of Playwright's internal label and role selectors."""
    if match := re.match(r'internal:(?:label|role=\w+\[name)="?([^"]+)"', selector.replace("=[name=", "[name=")):
        return f"aria/{match[1]}"
    return selector or "body"
