"""Splits AUTOMATIC1111's infotext into prompt, negative prompt and parameters; many programs imitate it.

Prompts may contain everything that marks the other parts, so the parameters are searched from the end. Source: the
observed behaviour of the writer and the reader in AUTOMATIC1111/stable-diffusion-webui.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.images.embedded.json_texts import find_json_end, parse_json

MAX_TEXT_CHARS = 1_000_000
MAX_PARAMETERS_CHARS = 100_000
MAX_PARAMETERS = 500
# How many lines, or places within lines, are tried as the start of the parameters.
MAX_TRIES = 5
# A text with this many of the common keys is a list of parameters.
COMMON_KEYS = frozenset({"steps", "sampler", "cfg scale", "seed", "size", "model", "model hash", "schedule type"})
MIN_COMMON_KEYS = 3
KEY = re.compile(r"\s{0,100}(\w[\w \-/.()]{0,80}):[ \t]*")
QUOTED_VALUE = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"(?=\s*(?:,|\n|$))', re.DOTALL)
SEPARATOR = re.compile(r"[,\n]")
STEPS = re.compile(r"(?<!Hires )(?<!Refiner )(?<!ADetailer )Steps:\s*\d")
HEADING = re.compile(
    r"\s{0,100}(?:parameters\s{0,100}:\s{0,100})?(?:(?:positive )?prompt\s{0,100}:\s{0,100})?", re.IGNORECASE
)
# Separators that some programs write between parameters instead of commas.
OTHER_SEPARATORS = re.compile(r"[|;\t\u2022\u00b7]")
NEGATIVE_LABEL = "Negative prompt:"
NEGATIVE_LINE = re.compile(r"^[ \t]*" + NEGATIVE_LABEL, re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Infotext:
    """The parts of an infotext. ``parameters`` maps keys in lower case to the program's spelling and the value."""

    prompt: str
    negative_prompt: str
    parameters: dict[str, tuple[str, str]]


def read_infotext(text: str) -> Infotext | None:
    """Split an infotext; a text without parameters is a prompt. None if it is too long."""
    if len(text) > MAX_TEXT_CHARS:
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    heading = HEADING.match(text)
    text = _use_commas(text[heading.end() :] if heading else text)
    start = _find_parameters(text)
    # Parameters in the middle of a line mean that the line breaks were lost.
    is_one_line = start is not None and bool(text[:start].rpartition("\n")[2].strip())
    prompt, negative_prompt = _split_prompts(text[:start], is_one_line=is_one_line)
    parameters = {} if start is None else _parse_parameters(text[start : start + MAX_PARAMETERS_CHARS])
    return Infotext(prompt, negative_prompt, parameters)


def _use_commas(text: str) -> str:
    """Return the text with commas between its parameters, if one of its last lines has another separator there.

    Lines of parameters that end in a comma and come before that line are joined with it.
    """
    lines = text.split("\n")
    for index in range(len(lines) - 1, max(-1, len(lines) - 1 - MAX_TRIES), -1):
        parts = [part.strip() for part in OTHER_SEPARATORS.split(lines[index][:MAX_PARAMETERS_CHARS])]
        keys = {key[1].lower() for part in parts if (key := KEY.match(part))}
        if len(COMMON_KEYS & keys) < MIN_COMMON_KEYS:
            continue
        first = index
        while first and _is_parameters_line(lines[first - 1]):
            first -= 1
        # The common keys come first: the parameters are searched by them.
        joined = ", ".join([*parts, *(line.strip().rstrip(",") for line in lines[first:index])])
        return "\n".join([*lines[:first], joined, *lines[index + 1 :]])
    return text


def _is_parameters_line(line: str) -> bool:
    parts = [part for part in line[:MAX_PARAMETERS_CHARS].split(",") if part.strip()]
    is_unfinished = line.rstrip().endswith(",") and not NEGATIVE_LINE.match(line)
    return is_unfinished and bool(parts) and all(KEY.match(part) for part in parts)


def _find_parameters(text: str) -> int | None:
    """Return where the parameters start: a line or place with "Steps:", or else a line with any key."""
    candidates = itertools.chain(_last_lines(text, STEPS), _last_places(text), _last_lines(text, KEY))
    return next(
        (start for start, end in candidates if _count_common_keys(text[start:end]) >= MIN_COMMON_KEYS),
        None,
    )


def _last_lines(text: str, beginning: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield the spans of those of the last lines that begin so, last one first."""
    ends = [len(text)]
    while len(ends) <= MAX_TRIES and (line_break := text.rfind("\n", 0, ends[-1])) >= 0:
        ends.append(line_break)
    starts = [end + 1 for end in ends[1:]] + ([0] if len(ends) <= MAX_TRIES else [])
    spans = zip(starts, ends, strict=False)
    yield from ((start, end) for start, end in spans if beginning.match(text[start:end].lstrip()))


def _last_places(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans from the last places of "Steps:" within lines, last one first.

    If the line begins with another common key, the parameters begin there.
    """
    tail = max(0, len(text) - MAX_PARAMETERS_CHARS)
    places = [tail + match.start() for match in STEPS.finditer(text[tail:])]
    for place in places[: -MAX_TRIES - 1 : -1]:
        line_start = text.rfind("\n", 0, place) + 1
        key = KEY.match(text, line_start, place)
        yield (line_start if key and key[1].lower() in COMMON_KEYS else place), len(text)


def _count_common_keys(text: str) -> int:
    return len(COMMON_KEYS & _parse_parameters(text[:MAX_PARAMETERS_CHARS]).keys())


def _split_prompts(text: str, *, is_one_line: bool) -> tuple[str, str]:
    """Split at a line that begins with the label, or at the last label if the line breaks were lost."""
    match = NEGATIVE_LINE.search(text)
    place = match.start() if match else text.rfind(NEGATIVE_LABEL) if is_one_line else -1
    if place < 0:
        return text.strip(), ""
    return text[:place].strip(), text[place:].strip().removeprefix(NEGATIVE_LABEL).strip()


def _parse_parameters(text: str) -> dict[str, tuple[str, str]]:
    """Return the parameters; the first value of a key wins."""
    parameters: dict[str, tuple[str, str]] = {}
    for key, value in itertools.islice(_split_parameters(text), MAX_PARAMETERS):
        parameters.setdefault(key.lower(), (key, value))
    return parameters


def _split_parameters(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        key = KEY.match(text, position)
        start = key.end() if key else position
        end = _find_value_end(text, start)
        if key and (value := text[start:end].strip()):
            yield key[1].strip(), _unquote(value)
        position = end + 1


def _find_value_end(text: str, start: int) -> int:
    """Return the index of the separator after a value; values that contain commas are quoted, or are JSON."""
    quoted = QUOTED_VALUE.match(text, start)
    if quoted:
        end: int | None = quoted.end()
    else:
        end = find_json_end(text, start) if text[start : start + 1] in ("{", "[") else None
    separator = SEPARATOR.search(text, start if end is None else end)
    return separator.start() if separator else len(text)


def _unquote(value: str) -> str:
    content = parse_json(value) if value[0] == '"' else None
    return content if isinstance(content, str) else value
