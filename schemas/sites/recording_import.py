"""The turning of a recording into the beginnings of a recipe: placeholders guessed, what is missing listed. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from schemas.errors import Invalid
from schemas.sites.step_schemas import MAX_STEP_TIMEOUT_MS, REQUIRED_KEYS

KEPT_STEPS = frozenset(REQUIRED_KEYS) - {"customStep"}
TYPES: dict[str, type] = {"selectors": list, "width": int, "height": int}
KEPT_KEYS = ("type", "url", "selectors", "value", "key", "width", "height", "x", "y", "count", "visible", "timeout")
SUBMITTING = re.compile(r"(?i)\b(generate|create|submit|run|draw|paint|imagine|make|queue|send)\b")
NEGATIVE = re.compile(r"(?i)negative")
NAMES = re.compile(r"(?i)\b(seed|steps|width|height|cfg|guidance|scale|strength|batch|count|number)\b")


@dataclass
class RecipeDraft:
    """The beginnings of a recipe: its content as a TOML file has it, and sentences about what a person must add."""

    recipe: dict[str, Any]
    missing: list[str] = field(default_factory=list)


def import_recording(text: str) -> RecipeDraft:
    """The beginnings of a recipe from a recording.

    Raises:
        Invalid: it is neither kind of recording, or has no step that could be replayed.
    """
    recording = _parse(text)
    steps, missing = _usable(recording["steps"])
    if not any(step["type"] == "navigate" for step in steps):
        raise Invalid("The recording opens no page: begin it before the page is loaded.")
    skeleton = _skeleton(str(recording.get("title") or "Recorded"), _without_repeats(steps))
    skeleton.missing = [*missing, *skeleton.missing]
    return skeleton


def _usable(recorded: list[Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The steps that a recipe can have, and a sentence for each that was left out or means something else now."""
    steps, missing = [], []
    for number, step in enumerate(recorded):
        kind = step.get("type") if isinstance(step, Mapping) else None
        if kind not in KEPT_STEPS:
            missing.append(
                f"step {number} of the recording ({kind or 'no step'}) was left out: recipes have no such step."
            )
            continue
        if kind == "navigate" and not str(step.get("url", "")).startswith(("http://", "https://")):
            continue
        if lacking := [key for key in REQUIRED_KEYS[kind] if not isinstance(step.get(key), TYPES.get(key, str))]:
            missing.append(f"step {number} of the recording ({kind}) was left out: its {lacking[0]} is not usable.")
            continue
        if step.get("frame"):
            missing.append(
                f"step {number} of the recording ({kind}) is inside a frame: recipes reach the page itself only."
            )
        steps.append(_kept(step))
    return steps, missing


def _parse(text: str) -> dict[str, Any]:
    try:
        whole = json.loads(text)
    except ValueError:
        return {"title": "Recorded", "steps": _from_lines(text)}
    if not isinstance(whole, dict) or not isinstance(whole.get("steps"), list):
        raise Invalid("That is no recording: it has no list 'steps', as Chrome's Recorder exports it.")
    return whole


def _kept(step: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: step[key] for key in KEPT_KEYS if key in step}
    if isinstance(kept.get("selectors"), list):
        chains = [one if isinstance(one, list) else [one] for one in kept["selectors"]]
        kept["selectors"] = [chain[0] if len(chain) == 1 else chain for chain in chains if chain]
    if isinstance(kept.get("timeout"), int):
        kept["timeout"] = max(1, min(kept["timeout"], MAX_STEP_TIMEOUT_MS))
    return kept


def _without_repeats(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The Recorder notes a change for every pause in typing; only the last one of a field counts."""
    kept: list[dict[str, Any]] = []
    for step in steps:
        if kept and step["type"] == kept[-1]["type"] == "change" and step["selectors"] == kept[-1]["selectors"]:
            kept.pop()
        kept.append(step)
    return kept


def _skeleton(title: str, steps: list[dict[str, Any]]) -> RecipeDraft:
    url = next(step["url"] for step in steps if step["type"] == "navigate")
    recipe: dict[str, Any] = {"title": title, "description": f"Recorded at {urlsplit(url).netloc}.", "url": url}
    recipe |= {"consent": {"ownership": "own"}, "limits": {"concurrency": 1, "min_interval_s": 1}}
    skeleton = RecipeDraft(recipe)
    recipe["inputs"] = _fill_in(steps, skeleton)
    _mark_submission(steps, skeleton)
    for step in steps:
        if step["type"] == "navigate" and step["url"] == url:
            step["url"] = "{{url}}"
    recipe["steps"] = steps
    recipe["observe"] = {"done": {"selectors": ["main img", "img"]}}
    skeleton.missing += [
        "observe.done: the element that shows the finished picture; 'img' is only a guess.",
        "observe.error, observe.progress, observe.preview: where the page shows these, if it does.",
        "consent: 'own' is right for a page of yours; others need ownership = 'terms' and their terms_url.",
    ]
    return skeleton


def _fill_in(steps: list[dict[str, Any]], skeleton: RecipeDraft) -> dict[str, Any]:
    """Put placeholders for the values that were typed; the inputs that they make."""
    changes = [step for step in steps if step["type"] == "change"]
    wordy = [step for step in changes if not NEGATIVE.search(_words(step)) and not _is_number(step["value"])]
    if not wordy:
        skeleton.missing.append("{{prompt}}: no step of the recording types words into a field.")
    else:
        max(wordy, key=lambda step: len(step["value"]))["value"] = "{{prompt}}"
    inputs: dict[str, Any] = {}
    for step in changes:
        name = _input_name(step)
        if name and step["value"] != "{{prompt}}":
            inputs[name] = {"type": "string"} if name == "negative_prompt" else _numeric(step["value"])
            step |= {"value": f"{{{{{name}}}}}", "when": name}
    return inputs


def _input_name(step: Mapping[str, Any]) -> str | None:
    if NEGATIVE.search(_words(step)):
        return "negative_prompt"
    found = NAMES.search(_words(step))
    return found[1].lower() if found and _is_number(step["value"]) else None


def _numeric(value: str) -> dict[str, Any]:
    return {"type": "number" if "." in value else "integer"}


def _mark_submission(steps: list[dict[str, Any]], skeleton: RecipeDraft) -> None:
    clicks = [step for step in steps if step["type"] == "click"]
    likely = [step for step in clicks if SUBMITTING.search(_words(step))] or clicks
    if likely:
        likely[-1]["submits"] = True
    elif presses := [step for step in steps if step["type"] == "keyDown" and step.get("key") == "Enter"]:
        presses[-1]["submits"] = True
    else:
        skeleton.missing.append("submits = true: at the step that hands the prompt to the page.")


def _words(step: Mapping[str, Any]) -> str:
    return re.sub(r"[_-]", " ", json.dumps(step.get("selectors", [])))


def _is_number(value: str) -> bool:
    return bool(re.fullmatch(r"-?\d+(\.\d+)?", value))


def _from_lines(text: str) -> list[dict[str, Any]]:
    """The steps of Playwright's recording, in the Recorder's words."""
    steps = []
    for line in text.splitlines():
        try:
            action = json.loads(line)
        except ValueError as error:
            raise Invalid("That is no recording: neither JSON nor JSON lines.") from error
        if isinstance(action, dict) and (step := _from_action(action)):
            steps.append(step)
    return steps


def _from_action(action: Mapping[str, Any]) -> dict[str, Any] | None:
    name, url = action.get("name"), action.get("url")
    if name in ("navigate", "openPage"):
        return {"type": "navigate", "url": url} if url and url != "about:blank" else None
    selector = _from_locator(action.get("locator")) or _from_selector(str(action.get("selector", "")))
    step = {"selectors": [selector]}
    if name in ("click", "check"):
        return {"type": "click", **step}
    if name == "fill":
        return {"type": "change", **step, "value": str(action.get("text", ""))}
    if name == "select":
        return {"type": "change", **step, "value": str((action.get("options") or [""])[0])}
    return {"type": "keyDown", "key": str(action.get("key", ""))} if name == "press" else None


def _from_locator(locator: Any) -> str | None:
    if not isinstance(locator, Mapping):
        return None
    kind, body, options = locator.get("kind"), str(locator.get("body", "")), locator.get("options") or {}
    if kind == "role" and options.get("name"):
        return f'aria/{options["name"]}[role="{body}"]'
    patterns = {
        "label": f"aria/{body}",
        "alt": f"aria/{body}",
        "text": f"text/{body}",
        "default": body,
        "placeholder": f"[placeholder={json.dumps(body)}]",
        "test-id": f"[data-testid={json.dumps(body)}]",
    }
    return patterns.get(str(kind))


def _from_selector(selector: str) -> str:
    if found := re.match(r'internal:(?:label|role=\w+\[name)="?([^"]+)"', selector.replace("=[name=", "[name=")):
        return f"aria/{found[1]}"
    return selector or "body"
