"""Assigns texts to the PNG keywords that programs write them under, by their content.

Containers other than PNG have no keywords, and some tools copy texts to other keywords. Texts that are JSON objects are
parsed on the way.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from schemas.images.embedded.a1111.reader import is_infotext
from schemas.images.embedded.comfyui.reader import is_graph
from schemas.images.embedded.draw_things import KEYWORD as DRAW_THINGS
from schemas.images.embedded.draw_things import is_draw_things
from schemas.images.embedded.fooocus import is_fooocus
from schemas.images.embedded.json_texts import parse_object
from schemas.images.embedded.novelai import is_novelai
from schemas.images.embedded.swarmui import PARAMS_KEY

MAX_UNKEYED = 20
# WebP savers of ComfyUI write "prompt:{...}" and "workflow:{...}" into EXIF tags.
LABEL = re.compile(r"\s{0,100}(prompt|workflow)\s{0,100}:\s{0,100}(?=\{)", re.IGNORECASE)
KEYWORDS = ("parameters", "prompt", "workflow", "Comment", "invokeai_metadata", "sd-metadata", "Dream")
# By the keyword: how objects are recognized that belong under it, in the order of certainty.
RECOGNIZERS: Mapping[str, Callable[[dict[str, Any]], bool]] = {
    "parameters": lambda document: PARAMS_KEY in document or is_fooocus(document),
    "prompt": is_graph,
    "workflow": lambda document: isinstance(document.get("nodes"), list),
    DRAW_THINGS: is_draw_things,
    "Comment": is_novelai,
}
# Keywords that may hold a text that belongs under another one.
FOREIGN_KEYWORDS = ("UserComment", "Comment", "comment", "Description", "Parameters")


def texts_by_keyword(by_keyword: Mapping[str, str], unkeyed: Iterable[str]) -> dict[str, Any]:
    """Return texts and parsed objects by keyword; a text under its own keyword takes precedence."""
    texts = {keyword: _parse(text) for keyword, text in by_keyword.items()}
    displaced = [
        texts[keyword]
        for keyword in FOREIGN_KEYWORDS
        if keyword in texts and not (keyword == "Comment" and is_novelai(texts[keyword]))
    ]
    for value in [*displaced, *itertools.islice(unkeyed, MAX_UNKEYED)]:
        for keyword, text in _assign(value).items():
            texts.setdefault(keyword, text)
    if DRAW_THINGS in texts and "parameters" not in by_keyword:
        # The description that Draw Things writes next to its comment has the same data with less detail.
        texts.pop("parameters", None)
    return texts


def _assign(value: Any) -> dict[str, Any]:
    """Return the value under its keyword, or under none if no known program writes it."""
    if isinstance(value, dict):
        return _assign_object(value)
    label = LABEL.match(value)
    if label:
        graph = parse_object(value[label.end() :])
        return {} if graph is None else {label[1].lower(): graph}
    document = parse_object(value)
    if document is not None:
        return _assign_object(document)
    return {"parameters": value} if is_infotext(value) else {}


def _assign_object(document: dict[str, Any]) -> dict[str, Any]:
    keyword = next((keyword for keyword, is_of in RECOGNIZERS.items() if is_of(document)), None)
    if keyword is not None:
        return {keyword: document}
    if not any(keyword in document for keyword in KEYWORDS):
        return {}
    # All texts of a PNG in one object, as converters to JPEG write it.
    return {keyword: _parse(value) for keyword, value in document.items() if isinstance(value, str | dict)}


def _parse(value: Any) -> Any:
    document = parse_object(value) if isinstance(value, str) else None
    return value if document is None else document
