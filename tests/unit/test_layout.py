"""Rules for the tree, names and prose that no linter checks."""

import ast
import io
import re
import tokenize
import tomllib
from functools import cache
from pathlib import Path

import pytest

from ops.infra.settings import ROOT
from stores.sites.recipes import Recipes

PACKAGES = ("schemas", "ops", "stores", "api", "workers")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if path.stat().st_size]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LANDED = ROOT / "stores" / "sql" / "migrations" / "versions"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
DRIVING = [
    path for folder in ("driver", "observer", "policy") for path in (ROOT / "workers" / "sites" / folder).glob("*.py")
]
DRIVING += (ROOT / "workers" / "jobs").glob("*.py")

MAX_ENTRIES = 14
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# Folders that may have more entries, each with its reason.
LARGE_FOLDERS = {
    "stores": "one folder for each feature and technical area",
    "stores/redis/lua": "one script for each transition",
    "tests/integration": "one folder for each feature and technical area",
    "tests/unit": "one folder for each feature and technical area, and the tests of the whole tree",
    "tests/support": "helpers of all kinds of tests",
    "stores/sql/migrations/versions": "grows with every migration",
    "docs": "one page for each subject, which the README lists",
    "docs/decisions": "grows with every decision",
    "workers/sites/recipes/studio": "a page, laid out as its browser loads it",
    "workers/sites/recipes/studio/painter": "one file for each kind of motif",
    "workers/sites/recipes/studio/styles": "one thumbnail for each style",
}
# Identifiers of an earlier vocabulary; the standard term stands beside each.
BANNED_NAMES = {
    r"^(MOST|LONGEST|LARGEST|DEEPEST|SHORTEST)_": "MAX_ or MIN_",
    r"(^|_)PATIENCE(_|$)|(^|_)patience(_|$)": "timeout",
    r"^BELIEVED|_BELIEVED": "CACHE_TTL",
    r"^usual_|_usual$|^USUAL_": "default",
    r"^ident$": "job_id, model_id, …",
    r"^(most|longest|largest|deepest)_(?!common|unfinished)": "max_",
    r"^(vigil|Vigil|glances?|Glances?|lanes?|Lanes?|shelf|Shelf|librarian|Librarian|courier_[a-z]+)$": "see 0012",
    r"^(Tickets?|Logins?|Consents?|Lookups?|Fleet|Upkeep|Passes|Manners|Outlook)$": "see 0012",
    r"^(stranger|strangers|news|whoever|nobody)$": "anonymous, events, …",
}
# Phrases that made sentences hard to read.
BANNED_PROSE = (
    r"\bOwns\b",
    r"\bwhoever\b",
    r"\b(nobody|somebody|anybody|everybody)\b",
    r"\bis told of\b",
    r"\b(Used|Called|Asked) by ``",
    r"\bvigil\b",
)


def entries(folder: Path) -> list[str]:
    """What a reader sees in a folder; package markers and caches do not count."""
    hidden = {"__init__.py", "__pycache__", "__main__.py"}
    return [path.name for path in folder.iterdir() if path.name not in hidden and not path.name.startswith(".")]


@pytest.mark.parametrize("path", DRIVING, ids=lambda path: path.name)
def test_the_driver_knows_no_site_by_name(path: Path) -> None:
    """A site is data; a branch on a site's name belongs in its recipe."""
    text = path.read_text()

    assert not [recipe.name for recipe in Recipes("studio").list_all() if re.search(rf"\b{recipe.name}\b", text)]


def test_folders_have_few_entries() -> None:
    """A reader can take in a folder at a glance."""
    folders = {path.parent for path in (*MODULES, *TESTS)} | {ROOT / "docs", ROOT / "docs" / "decisions"}
    folders |= {parent for folder in folders for parent in folder.parents if ROOT in parent.parents}
    large = {str(folder.relative_to(ROOT)): entries(folder) for folder in folders if len(entries(folder)) > MAX_ENTRIES}

    assert not set(large) - set(LARGE_FOLDERS), large


def test_large_folders_exist() -> None:
    """The list of exceptions has no stale entry."""
    assert [name for name in LARGE_FOLDERS if not (ROOT / name).is_dir()] == []


def test_modules_stay_small() -> None:
    """A module longer than this holds more than one idea."""
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}

    assert {name: lines for name, lines in sizes.items() if lines > MAX_MODULE_LINES} == {}


def test_functions_stay_small() -> None:
    """Forty lines are the aim; above sixty a function does more than one thing."""
    long = {
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": size
        for path in MODULES
        if LANDED not in path.parents
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, FUNCTIONS) and (size := _body_lines(node)) > MAX_FUNCTION_LINES
    }

    assert long == {}


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(node, clean=False)
    return (node.end_lineno or node.lineno) - node.lineno + 1 - (len(docstring.splitlines()) if docstring else 0)


def test_every_module_has_a_docstring() -> None:
    """The first lines say what the module does."""
    assert [str(path) for path in MODULES if not path.read_text().lstrip().startswith('"""')] == []


def test_imports_are_at_the_top() -> None:
    """No import hides in a function, so the import graph shows every dependency."""
    trees = {path.name: ast.parse(path.read_text()) for path in MODULES}
    functions = [(name, node) for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]

    assert not [name for name, node in functions if any(isinstance(part, IMPORTS) for part in ast.walk(node))]


def test_import_contracts_cover_every_package() -> None:
    """A new top-level package must be named in the contracts."""
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}

    assert set(configuration["root_packages"]) == packages == set(PACKAGES)


@cache
def tokens() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """All names and all prose (comments and docstrings) of code and tests, each with its place."""
    names, prose = [], []
    for path in (*MODULES, *TESTS):
        if LANDED in path.parents or path == Path(__file__):
            continue
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
            place = f"{path.relative_to(ROOT)}:{token.start[0]}"
            if token.type == tokenize.NAME:
                names.append((place, token.string))
            elif token.type == tokenize.COMMENT or (token.type == tokenize.STRING and '"""' in token.string):
                prose.append((place, token.string))
    documents = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"))
    return names, prose + [(str(path.relative_to(ROOT)), path.read_text()) for path in documents]


@pytest.mark.parametrize("pattern", BANNED_NAMES, ids=list(BANNED_NAMES.values()))
def test_names_are_standard_terms(pattern: str) -> None:
    """Identifiers of the earlier vocabulary do not come back."""
    banned = re.compile(pattern)

    assert sorted({f"{place} {name}" for place, name in tokens()[0] if banned.search(name)}) == []


@pytest.mark.parametrize("phrase", BANNED_PROSE)
def test_prose_is_plain(phrase: str) -> None:
    """Docstrings, comments and documents avoid phrases that hide the subject or list callers."""
    banned = re.compile(phrase)

    assert sorted({place for place, text in tokens()[1] if banned.search(text)}) == []
