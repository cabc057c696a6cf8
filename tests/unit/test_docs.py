"""What the documents say is what the code does."""

import re
import tomllib
from dataclasses import fields

import pytest

from ops.cli.main import COMMANDS, LazyGroup, main
from ops.infra.settings import ROOT, SHIPPED_RECIPES, Settings
from schemas.errors import errors_by_code
from schemas.jobs.lifecycle import TRANSITIONS, JobState
from schemas.sites.recipe_schema import load_recipe
from schemas.sites.reference import render_reference
from stores.sites.recipes import Recipes

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


def section(text: str, title: str) -> str:
    """The part of a document below a heading."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_setting_is_documented_and_no_other() -> None:
    """The table of settings has a row for each field."""
    documented = re.findall(r"^\| `([A-Z_]+)` \|", section(OPERATIONS, "Settings"), re.MULTILINE)

    assert {field.name.upper() for field in fields(Settings)} - {"SITE_URLS"} == set(documented)
    assert "`SITE_<NAME>_URL`" in section(OPERATIONS, "Settings")
    assert len(documented) == len(set(documented))


def test_every_end_of_a_job_is_documented() -> None:
    """The table of codes has what a job can end with, and says rightly what is tried again."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|.*\| (yes|no) \|$", section(OPERATIONS, "Errors"), re.MULTILINE))
    known = errors_by_code()

    assert {code: known[code].retryable for code in rows} == {code: said == "yes" for code, said in rows.items()}
    ends = {code for code, error in known.items() if error.status in (502, 504) or code.endswith("_lost")}
    assert ends - {"lease_lost"} <= set(rows)


def test_the_diagram_is_the_table() -> None:
    """Each arrow of the picture is in the table, and the other way round."""
    text = (ROOT / "docs" / "lifecycle.md").read_text()
    drawn = set(re.findall(r"^ +([A-Z]+) --> ([A-Z]+)$", text, re.MULTILINE))
    starts = re.findall(r"\[\*\] --> ([A-Z]+)", text)
    ends = set(re.findall(r"([A-Z]+) --> \[\*\]", text))

    assert {(str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets} == drawn
    assert starts == ["QUEUED"]
    assert {str(state) for state in JobState if state.is_final} == ends


def test_the_reference_of_recipes_is_what_the_schemas_say() -> None:
    """Every key with its meaning; ``./darkroom sites reference`` prints it."""
    text = (ROOT / "docs" / "recipes.md").read_text()

    assert render_reference().strip() == text.split("## Reference\n", 1)[1].strip()


def test_the_recipe_of_the_tutorial_is_valid_and_short() -> None:
    """A new page takes 25 lines at the most."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    written = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if block.startswith("title"))

    assert load_recipe("mine", tomllib.loads(written)).inputs
    assert len(written.splitlines()) <= 25


def test_the_shipped_recipes_are_listed_with_what_they_were_tested_against() -> None:
    """Never more than is true."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9]+)` \| .* \| (.*) \|$", text.split("## Use one")[0], re.MULTILINE))
    real = {recipe.name: recipe.tested is None or recipe.tested.real for recipe in Recipes("studio").list_all()}

    assert real == {name: "not run against the real" not in said for name, said in rows.items()}
    for recipe in Recipes("studio").list_all():
        head = (SHIPPED_RECIPES / f"{recipe.name}.toml").read_text().split("title", 1)[0]
        assert real[recipe.name] or "Not run against the" in " ".join(head.replace("#", "").split())


def test_the_readme_keeps_its_order() -> None:
    """What it is with a picture, the two commands, a first curl, the map of the code, how to grow."""
    marks = ["![", "./darkroom up", "./darkroom test", "curl", "schemas/", "fleet"]
    places = [README.index(mark) for mark in marks]

    assert places == sorted(places)
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_map_of_the_code_is_complete() -> None:
    """Every folder and no other."""
    mapped = set(re.findall(r"^([a-z]+)/ ", README, re.MULTILINE))
    tracked = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}

    assert mapped == tracked - {"bench-results"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    """Each can be loaded and explains itself."""
    assert isinstance(main, LazyGroup)
    command = main.get_command(main.make_context("darkroom", [], resilient_parsing=True), name)
    assert command
    assert command.help


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_holds_names_versions_and_hashes_only(lock: str) -> None:
    """No address of an index, and a hash for every package."""
    text = (ROOT / lock).read_text()
    packages = re.findall(r"^([a-z0-9-]+)==\S+", text, re.MULTILINE)

    assert "://" not in text
    assert "--index" not in text
    assert len(packages) > 30
    for block in re.split(r"\n(?=[a-z])", text.strip()):
        assert "--hash=sha256:" in block, block[:60]


def test_the_lock_belongs_to_the_project() -> None:
    """Every dependency is locked, and the development lock contains the other one as it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {re.split(r"[\[>=<]", name)[0] for name in project["project"]["optional-dependencies"]["server"]}
    runtime, development = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.txt", "requirements-dev.txt")
    )

    assert wanted <= set(runtime)
    assert runtime.items() <= development.items()
