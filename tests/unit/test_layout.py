"""House rules that no linter knows."""

import ast
import re
from pathlib import Path

import pytest

from ops.infra.settings import ROOT
from stores.sites.recipes import Recipes

PACKAGES = ("schemas", "ops", "stores", "api", "workers")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")) if path.stat().st_size]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
IMPORTS = (ast.Import, ast.ImportFrom)
DRIVING = [
    path for folder in ("driver", "observer", "policy") for path in (ROOT / "workers" / "sites" / folder).glob("*.py")
]
DRIVING += (ROOT / "workers" / "jobs").glob("*.py")


@pytest.mark.parametrize("path", DRIVING, ids=lambda path: path.name)
def test_what_drives_pages_knows_no_site_by_name(path: Path) -> None:
    """A site is data; code that branches on a name would make it two things."""
    text = path.read_text()

    assert not [recipe.name for recipe in Recipes("studio").list_all() if re.search(rf"\b{recipe.name}\b", text)]


def test_modules_stay_small() -> None:
    """Past four hundred lines an idea is missing."""
    assert not [path.name for path in MODULES if len(path.read_text().splitlines()) > 400]


def test_every_module_says_what_it_owns() -> None:
    """The first lines are for whoever opens it."""
    silent = [path for path in MODULES if not path.read_text().lstrip().startswith('"""')]

    assert not silent


def test_nothing_is_imported_inside_a_function() -> None:
    """All arrows stand at the top, where they can be seen."""
    trees = {path.name: ast.parse(path.read_text()) for path in MODULES}
    functions = [(name, node) for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]

    assert not [name for name, node in functions if any(isinstance(part, IMPORTS) for part in ast.walk(node))]
