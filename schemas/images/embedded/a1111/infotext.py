"""The text that AUTOMATIC1111 writes and many others imitate: prompt, negative prompt, and pairs. Pure.

Source: the writer and the reader in AUTOMATIC1111/stable-diffusion-webui, by their behaviour.
Prompts may hold all the words that mark the parts: so the parameters are looked for from the end.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.images.embedded.untrusted_json import end_of_json, read_json

LONGEST_TEXT = 1_000_000
LONGEST_PAIRS = 100_000
MOST_PAIRS = 500
# How many lines or words from the end are tried as the beginning of the parameters.
MOST_TRIES = 5
USUAL = frozenset({"steps", "sampler", "cfg scale", "seed", "size", "model", "model hash", "schedule type"})
ENOUGH = 3
KEY = re.compile(r"\s*(\w[\w \-/.()]{0,80}):[ \t]*")
QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"(?=\s*(?:,|\n|$))', re.DOTALL)
STOP = re.compile(r"[,\n]")
STEPS = re.compile(r"(?<!Hires )(?<!Refiner )(?<!ADetailer )Steps:\s*\d")
HEADER = re.compile(r"\s*parameters\s*:\s*", re.IGNORECASE)
NEGATIVE = "Negative prompt:"


@dataclass(frozen=True, slots=True)
class Infotext:
    """The three parts. ``pairs`` has the program's spelling and the value, under the key in lower case."""

    prompt: str
    negative_prompt: str
    pairs: dict[str, tuple[str, str]]


def read_infotext(text: str) -> Infotext | None:
    """The parts of such a text; all of it is a prompt where there are no parameters. None if it is far too long."""
    if len(text) > LONGEST_TEXT:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    header = HEADER.match(text)
    text = text[header.end() :] if header else text
    start = _start_of_pairs(text)
    jammed = start is not None and bool(text[:start].rpartition("\n")[2].strip())
    prompt, negative = _prompts(text[:start], jammed=jammed)
    return Infotext(prompt, negative, {} if start is None else _pairs(text[start : start + LONGEST_PAIRS]))


def _start_of_pairs(text: str) -> int | None:
    tries = itertools.chain(_lines(text, STEPS), _words(text), _lines(text, KEY))
    return next((start for start, end in tries if _usual(text[start:end]) >= ENOUGH), None)


def _lines(text: str, beginning: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Those of the last lines that begin so."""
    ends = [len(text)]
    while len(ends) <= MOST_TRIES and (before := text.rfind("\n", 0, ends[-1])) >= 0:
        ends.append(before)
    starts = [end + 1 for end in ends[1:]] + ([0] if len(ends) <= MOST_TRIES else [])
    spans = zip(starts, ends, strict=False)
    yield from ((start, end) for start, end in spans if beginning.match(text[start:end].lstrip()))


def _words(text: str) -> Iterator[tuple[int, int]]:
    """The last places within lines where parameters may begin, of programs that lost the line breaks.

    A line that begins with another of the usual keys begins there.
    """
    tail = max(0, len(text) - LONGEST_PAIRS)
    places = [tail + found.start() for found in STEPS.finditer(text[tail:])]
    for place in places[: -MOST_TRIES - 1 : -1]:
        line = text.rfind("\n", 0, place) + 1
        key = KEY.match(text, line, place)
        yield (line if key and key[1].lower() in USUAL else place), len(text)


def _usual(text: str) -> int:
    return len(USUAL & _pairs(text[:LONGEST_PAIRS]).keys())


def _prompts(text: str, *, jammed: bool) -> tuple[str, str]:
    """The negative prompt begins a line; within one it is looked for only where line breaks are lost."""
    found = re.search(r"^[ \t]*" + NEGATIVE, text, re.MULTILINE)
    place = found.start() if found else text.rfind(NEGATIVE) if jammed else -1
    if place < 0:
        return text.strip(), ""
    return text[:place].strip(), text[place:].strip().removeprefix(NEGATIVE).strip()


def _pairs(text: str) -> dict[str, tuple[str, str]]:
    """Of each key the first value."""
    found: dict[str, tuple[str, str]] = {}
    for key, value in itertools.islice(_each_pair(text), MOST_PAIRS):
        found.setdefault(key.lower(), (key, value))
    return found


def _each_pair(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        key = KEY.match(text, at)
        start = key.end() if key else at
        end = _end_of_value(text, start)
        if key and (value := text[start:end].strip()):
            yield key[1].strip(), _unquoted(value)
        at = end + 1


def _end_of_value(text: str, start: int) -> int:
    """Values with commas in them are quoted, or else are JSON as it is."""
    quoted = QUOTED.match(text, start)
    if quoted:
        return _stop(text, quoted.end())
    end = end_of_json(text, start) if text[start : start + 1] in ("{", "[") else None
    return _stop(text, start if end is None else end)


def _stop(text: str, start: int) -> int:
    found = STOP.search(text, start)
    return found.start() if found else len(text)


def _unquoted(value: str) -> str:
    found: Any = read_json(value) if value[0] == '"' else None
    return found if isinstance(found, str) else value
