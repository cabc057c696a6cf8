"""The documentation matches the code."""

import inspect
import re
import tomllib
from dataclasses import fields

import pytest

from ops.cli.groups import LazyGroup, help_line
from ops.cli.main import COMMANDS, main
from ops.cli.sites import COMMANDS as SITE_COMMANDS
from ops.cli.sites import sites
from ops.infra.settings import ROOT, SHIPPED_RECIPES, Settings
from schemas.errors import errors_by_code
from schemas.jobs.client_apis import NATIVE, render_table
from schemas.jobs.job import JobRequestSchema
from schemas.jobs.lifecycle import TRANSITIONS, JobState
from schemas.sites.recipe_schema import load_recipe
from schemas.sites.reference import render_reference
from stores.sites.recipes import Recipes

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
README = (ROOT / "README.md").read_text()


def section(text: str, title: str) -> str:
    """Return the text below a heading."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_setting_is_documented_and_no_other() -> None:
    """The table of settings has a row for each field of ``Settings``, which the variable of that name sets."""
    documented = re.findall(r"^\| `([A-Z_]+)` \|", section(OPERATIONS, "Settings"), re.MULTILINE)

    assert {field.name.upper() for field in fields(Settings)} - {"SITE_URLS"} == set(documented)
    assert "`SITE_<NAME>_URL`" in section(OPERATIONS, "Settings")
    assert len(documented) == len(set(documented))
    modules = [ROOT / "ops" / "infra" / name for name in ("settings.py", "setting_parsers.py")]
    read = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', "".join(module.read_text() for module in modules)))
    assert set(documented) <= read


def test_every_error_code_of_a_job_is_documented() -> None:
    """The table of error codes is complete and states which errors are retried."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \|.*\| (yes|no) \|$", section(OPERATIONS, "Errors"), re.MULTILINE))
    known = errors_by_code()

    assert {code: known[code].retryable for code in rows} == {code: text == "yes" for code, text in rows.items()}
    ends = {code for code, error in known.items() if error.status in (502, 504) or code.endswith("_lost")}
    assert ends - {"lease_lost"} <= set(rows)


def test_the_state_diagram_matches_the_transition_table() -> None:
    """Each arrow is in the table, and each transition in the diagram."""
    text = (ROOT / "docs" / "lifecycle.md").read_text()
    drawn = set(re.findall(r"^ +([A-Z]+) --> ([A-Z]+)$", text, re.MULTILINE))
    starts = re.findall(r"\[\*\] --> ([A-Z]+)", text)
    ends = set(re.findall(r"([A-Z]+) --> \[\*\]", text))

    assert {(str(source), str(target)) for source, targets in TRANSITIONS.items() for target in targets} == drawn
    assert starts == ["QUEUED"]
    assert {str(state) for state in JobState if state.is_final} == ends


def test_the_recipe_reference_is_generated() -> None:
    """The documented reference is the output of ``./darkroom sites reference``."""
    text = (ROOT / "docs" / "recipes.md").read_text()

    assert render_reference().strip() == text.split("## Reference\n", 1)[1].strip()


def test_the_recipe_of_the_tutorial_is_valid_and_short() -> None:
    """A simple page takes at most 25 lines."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    written = next(block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if block.startswith("title"))

    assert load_recipe("mine", tomllib.loads(written)).inputs
    assert len(written.splitlines()) <= 25


def test_the_shipped_recipes_are_listed_with_their_test_status() -> None:
    """The documentation and the recipe files agree on which recipes were run against the real program."""
    text = (ROOT / "docs" / "recipes.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z0-9_]+)` \| .* \| (.*) \|$", text.split("## Use one")[0], re.MULTILINE))
    real = {recipe.name: recipe.tested is None or recipe.tested.real for recipe in Recipes("studio").list_all()}

    assert real == {name: "not run against the real" not in text for name, text in rows.items()}
    tested = {recipe.name: recipe.tested for recipe in Recipes("studio").list_all() if recipe.tested}
    assert [name for name, spec in tested.items() if spec.programs and str(spec) not in rows[name]] == []
    for recipe in Recipes("studio").list_all():
        head = (SHIPPED_RECIPES / f"{recipe.name}.toml").read_text().split("title", 1)[0]
        assert real[recipe.name] or "Not run against the" in " ".join(head.replace("#", "").split())


def test_the_readme_has_its_sections_in_order() -> None:
    """Image, commands, first request, map of the code, scaling; all links point to existing files."""
    marks = ["![", "./darkroom up", "./darkroom test", "curl", "schemas/", "fleet"]
    places = [README.index(mark) for mark in marks]

    assert places == sorted(places)
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_the_map_of_the_code_is_complete() -> None:
    """The README lists every top-level folder."""
    mapped = set(re.findall(r"^([a-z]+)/ ", README, re.MULTILINE))
    tracked = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "_"))}

    assert mapped == tracked - {"bench-results"}


@pytest.mark.parametrize(
    ("group", "name"),
    [*((main, name) for name in COMMANDS), *((sites, name) for name in SITE_COMMANDS)],
)
def test_every_command_can_be_loaded(group: LazyGroup, name: str) -> None:
    """Every command of the tables exists, and its help begins with the line that the group's help shows."""
    context = group.make_context(group.name, [], resilient_parsing=True)
    command = group.get_command(context, name)
    assert command
    assert command.help
    assert help_line(group.targets[name]) == inspect.cleandoc(command.help).partition("\n")[0]


def test_the_old_name_of_the_background_command_works() -> None:
    """``courier`` is an alias that the help does not list."""
    context = main.make_context("darkroom", [], resilient_parsing=True)
    assert main.get_command(context, "courier") is main.get_command(context, "background")
    assert "courier" not in main.list_commands(context)


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-telemetry.txt", "requirements-dev.txt"])
def test_the_lock_files_hold_names_versions_and_hashes(lock: str) -> None:
    """The lock files name no package index and have a hash for every package."""
    text = (ROOT / lock).read_text()
    packages = re.findall(r"^([a-z0-9-]+)==\S+", text, re.MULTILINE)

    assert "://" not in text
    assert "--index" not in text
    assert len(packages) > 30
    for block in re.split(r"\n(?=[a-z])", text.strip()):
        assert "--hash=sha256:" in block, block[:60]


def test_the_lock_files_match_the_project() -> None:
    """Every dependency is locked, and the development lock contains the runtime lock unchanged."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    direct = {re.split(r"[\[>=<]", name)[0] for name in project["project"]["optional-dependencies"]["server"]}
    runtime, telemetry, development = (
        dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))
        for name in ("requirements.txt", "requirements-telemetry.txt", "requirements-dev.txt")
    )

    assert direct <= set(runtime)
    assert runtime.items() <= telemetry.items() <= development.items()


def test_the_table_of_client_apis_is_generated() -> None:
    """The documentation says which field of each API sets what, as the code has it."""
    text = section((ROOT / "docs" / "clients.md").read_text(), "Fields of each API")

    assert text[text.index("| what it sets") :].strip() == render_table().strip()
    assert {field.name for field in NATIVE.fields} == set(JobRequestSchema().fields) - {"inputs"}
