"""Patterns that meet texts from outside: the work for a text grows with its length, not with its square."""

import ast
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.infra.settings import ROOT
from schemas.errors import Invalid
from schemas.images.containers.xmp import read_xmp_texts
from schemas.images.embedded.a1111.infotext import read_infotext
from schemas.images.embedded.a1111.reader import read_a1111
from schemas.images.embedded.json_texts import parse_object
from schemas.library.formats.base_models import name_base_model
from schemas.library.formats.training_metadata import parse_training_metadata
from schemas.library.sanitize import clean_line, clean_multiline, html_to_text, sanitize_html
from schemas.library.search_query import parse_query
from schemas.library.sidecars.civitai_images import file_name_from_url, parse_image
from schemas.library.text_normalization import split_words
from tests.support.linear_time import MAX_RATIO, growth

AREAS = (
    *("schemas/images", "schemas/library", "schemas/sites", "schemas/http", "schemas/jobs", "schemas/accounts"),
    *("workers/sites/driver", "workers/sites/observer", "workers/sites/diagnostics", "workers/sites/learn"),
)
# Methods that try a match at every place of a text.
SEARCHES = frozenset({"search", "finditer", "findall", "sub", "subn", "split"})
METHODS = SEARCHES | {"match", "fullmatch"}
CHARACTERS = (" ", "\n", "a", "0", ",", ":", "<", "(", '"', "\\", "/", "-", "a b", "a,", "0.")
TAILS = ("", "!")


def patterns() -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    """Yield all patterns of these areas, each with its place and whether it is searched for in texts."""
    for area in AREAS:
        for path in sorted((ROOT / area).rglob("*.py")):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            tree = ast.parse(path.read_text())
            yield from _named_patterns(path, module, tree)
            yield from _inline_patterns(path, tree)


def _named_patterns(path: Path, module: Any, tree: ast.Module) -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    searched = {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in SEARCHES and isinstance(node.value, ast.Name)
    }
    for name, value in vars(module).items():
        for index, pattern in enumerate(_patterns_in(value)):
            # A pattern in a table, or one that other modules use, may be searched for.
            is_searched = name in searched or not isinstance(value, re.Pattern) or not name.startswith("_")
            yield f"{path.relative_to(ROOT)}:{name}:{index}", pattern, is_searched


def _patterns_in(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from (pattern for inner in value.values() for pattern in _patterns_in(inner))
    elif isinstance(value, tuple | list):
        yield from (pattern for inner in value for pattern in _patterns_in(inner))


def _inline_patterns(path: Path, tree: ast.Module) -> Iterator[tuple[str, re.Pattern[Any], bool]]:
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        is_of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.func.attr in METHODS
        if is_of_re and isinstance(node.args[0], ast.Constant):
            yield (
                f"{path.relative_to(ROOT)}:{node.lineno}",
                re.compile(node.args[0].value),
                node.func.attr in SEARCHES,
            )


def hostile_texts(pattern: str) -> Iterator[Callable[[int], str]]:
    """Yield makers of texts of a given length, of characters and of the words of the pattern, repeated."""
    words = re.findall(r"[A-Za-z0-9:<>=\"' /_-]{2,40}", re.sub(r"\\.|\(\?[:!=<P]*", " ", pattern))
    for fragment in dict.fromkeys((*CHARACTERS, *words[:6])):
        for tail in TAILS:
            yield lambda size, fragment=fragment, tail=tail: (fragment * size)[:size] + tail
    for word in words[:4]:
        for character in (" ", "a", "0"):
            yield lambda size, word=word, character=character: word + character * size


def _exhaust(pattern: re.Pattern[Any], text: str, *, is_searched: bool) -> None:
    data: Any = text.encode() if isinstance(pattern.pattern, bytes) else text
    pattern.match(data)
    pattern.fullmatch(data)
    if is_searched:
        for _ in pattern.finditer(data):
            pass


PATTERNS = {name: (pattern, is_searched) for name, pattern, is_searched in patterns()}


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_take_linear_time(name: str) -> None:
    """Whatever is repeated in a text, and however it ends."""
    pattern, is_searched = PATTERNS[name]
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    for make in hostile_texts(source):
        ratio = growth(lambda size, make=make: _exhaust(pattern, make(size), is_searched=is_searched))
        assert ratio <= MAX_RATIO, repr(make(40))


INFOTEXTS = (
    *("a", "ab:", 'ab:"', 'ab:"\\",', "Steps: 9, ", "Steps: 9\n", "Steps: 9, x, y, z\n", "<lora:", "a b", "a-/"),
    *("ab:[", 'ab:["', "Negative prompt:", "Negative prompt: \n", "|", "Steps: 9|", "prompt: ", " ", "\n", "a,", "é,"),
    *("<lora:a:1>", "<hypernet:", "embedding:", "(((", "BREAK ", 'Lora hashes: "a: 1, ', "Hashes: {", '{"a":'),
)
READERS: dict[str, Callable[[str], object]] = {
    "infotext": read_infotext,
    "a1111": lambda text: read_a1111({"parameters": text + "\nSteps: 9, Sampler: a, CFG scale: 7, Seed: 5"}),
    "json": lambda text: parse_object("{" + text),
    "xmp": lambda text: read_xmp_texts(b"<x><description>" + text.encode()),
    "training": lambda text: parse_training_metadata({"ss_datasets": text, "modelspec.tags": text, "ssmd_tags": text}),
    "base model": lambda text: name_base_model(text, text),
    "line": clean_line,
    "lines": clean_multiline,
    "html": sanitize_html,
    "html as text": html_to_text,
    "words": split_words,
    "url": lambda text: file_name_from_url("https://x.test/" + text),
    "image": lambda text: parse_image({"url": text, "hash": text, "meta": {"Size": text, "prompt": text}}),
}


@pytest.mark.parametrize("reader", READERS)
def test_readers_take_linear_time(reader: str) -> None:
    """Of parameters, sidecars, headers and descriptions, up to the length that they read."""
    read = READERS[reader]
    for fragment in INFOTEXTS:
        for tail in TAILS:
            ratio = growth(lambda size, fragment=fragment, tail=tail: read((fragment * size)[:size] + tail))
            assert ratio <= MAX_RATIO, (fragment, tail)


def test_long_queries_are_refused_before_they_are_split() -> None:
    """A search has few characters, so its patterns cannot take long."""
    with pytest.raises(Invalid):
        parse_query('"' * 1_000_000)
