"""The failure report of a job as the console shows it: boxes on the screenshot, lines of the console by kind."""

import re
from collections.abc import Mapping
from typing import Any

BOX = re.compile(r"(-?\d{1,6}) (-?\d{1,6}) (\d{1,6}) (\d{1,6})")
SCREENSHOT = re.compile(r"data:image/jpeg;base64,[A-Za-z0-9+/=]+")
MAX_DOM_CHARS = 256 * 1024
# The kinds of lines that a reader looks for first.
BAD_LINES = ("error:", "uncaught:")


def failure_view(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a report; whatever a page has put into it is text, and only pictures are pictures."""
    explanation, viewport = report.get("explanation") or {}, report.get("viewport") or {}
    screenshot = str(report.get("screenshot") or "")
    similar = [
        {
            "number": number,
            "selector": str(element.get("selector", "")),
            "text": str(element.get("text", "")),
            "html": str(element.get("html", "")),
            "box": _parse_box(str(element.get("box", ""))),
        }
        for number, element in enumerate(explanation.get("similar") or (), 1)
    ]
    return {
        "url": str(report.get("url") or ""),
        "screenshot": screenshot if SCREENSHOT.fullmatch(screenshot) else None,
        "width": int(viewport.get("width") or 0),
        "height": int(viewport.get("height") or 0),
        "step": str(explanation.get("step") or ""),
        "selectors": [str(selector) for selector in explanation.get("selectors") or ()],
        "similar": similar,
        "console": [(str(line), str(line).startswith(BAD_LINES)) for line in report.get("console") or ()],
        "requests": [str(line) for line in report.get("requests") or ()],
        "dom": str(report.get("dom") or "")[:MAX_DOM_CHARS],
    }


def _parse_box(text: str) -> tuple[int, int, int, int] | None:
    match = BOX.fullmatch(text)
    if match is None:
        return None
    left, top, width, height = map(int, match.groups())
    return left, top, width, height
