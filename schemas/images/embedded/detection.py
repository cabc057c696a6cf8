"""Under which keyword a text belongs that has none, by what is in it; and which texts are JSON. Pure.

The keywords are those under which the programs write into PNG.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.images.embedded.a1111.reader import is_infotext
from schemas.images.embedded.comfyui.reader import is_graph
from schemas.images.embedded.fooocus import is_fooocus
from schemas.images.embedded.novelai import is_novelai
from schemas.images.embedded.swarmui import PARAMS_KEY
from schemas.images.embedded.untrusted_json import read_object

MOST_LOOSE = 20
LABEL = re.compile(r"\s*(prompt|workflow)\s*:\s*(?=\{)", re.IGNORECASE)
KNOWN = ("parameters", "prompt", "workflow", "Comment", "invokeai_metadata", "sd-metadata", "Dream")
# Where people's tools put a text that belongs under another keyword.
ELSEWHERE = ("UserComment", "Comment", "comment", "Description", "Parameters")


def texts_by_keyword(named: Mapping[str, str], loose: Iterable[str]) -> dict[str, Any]:
    """By keyword, texts and the objects that texts are; what stands under its own keyword comes first."""
    said = {keyword: _parsed(text) for keyword, text in named.items()}
    strays = [said[keyword] for keyword in ELSEWHERE if keyword in said and not _at_home(keyword, said[keyword])]
    for value in [*strays, *itertools.islice(loose, MOST_LOOSE)]:
        for keyword, found in _placed(value).items():
            said.setdefault(keyword, found)
    return said


def _at_home(keyword: str, value: Any) -> bool:
    return keyword == "Comment" and is_novelai(value)


def _placed(value: Any) -> dict[str, Any]:
    """Under which keywords it belongs; under none if nobody is known to write such a thing."""
    if isinstance(value, dict):
        return _placed_object(value)
    label = LABEL.match(value)
    if label:
        found = read_object(value[label.end() :])
        return {} if found is None else {label[1].lower(): found}
    found = read_object(value)
    if found is not None:
        return _placed_object(found)
    return {"parameters": value} if is_infotext(value) else {}


def _placed_object(found: dict[str, Any]) -> dict[str, Any]:
    if PARAMS_KEY in found or is_fooocus(found):
        return {"parameters": found}
    if is_graph(found):
        return {"prompt": found}
    if isinstance(found.get("nodes"), list):
        return {"workflow": found}
    if is_novelai(found):
        return {"Comment": found}
    if not any(keyword in found for keyword in KNOWN):
        return {}
    return {keyword: _parsed(value) for keyword, value in found.items() if isinstance(value, str | dict)}


def _parsed(value: Any) -> Any:
    found = read_object(value) if isinstance(value, str) else None
    return value if found is None else found
