"""The ``darkroom sites`` commands for recipes."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from ops.cli.main import main
from ops.infra.settings import ROOT, SHIPPED_RECIPES
from schemas.jobs.job import JobRequest
from stores.sites.recipes import Recipes
from tests.support.programs.rendering import is_image_of
from tests.unit.sites.test_recording_import import RECORDER

PROMPT = "a lighthouse at dusk"


def run_sites_command(folder: Path, *args: str) -> tuple[int, str]:
    """Run ``darkroom sites ARGS`` in ``folder``, in this process; returns the exit code and the output."""
    settings = {"DATA_DIR": str(folder / "data"), "RECIPES_DIR": str(folder), "COLUMNS": "200"}
    with contextlib.chdir(folder):
        done = CliRunner().invoke(main, ["sites", *args], env=settings | {"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    # Any other exception would be a traceback.
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done.exit_code, done.output


def run_sites_process(folder: Path, *args: str) -> tuple[int, str]:
    """Run ``darkroom sites ARGS`` in ``folder`` as a user does; returns the exit code and the output."""
    settings = {"DATA_DIR": str(folder / "data"), "RECIPES_DIR": str(folder), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, "-m", "ops", "sites", *args]
    process = subprocess.run(
        command, cwd=folder, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120, check=False
    )
    return process.returncode, process.stdout + process.stderr


def test_check_finds_everything_and_shows_where(tmp_path: Path) -> None:
    """It prints a table of the matching selectors and writes a screenshot with outlines."""
    code, printed = run_sites_process(tmp_path, "check", "studio", "-o", "seen.png")

    assert code == 0, printed
    assert "aria/Generate" in printed
    assert "#studio[data-state='ready']" in printed
    # Elements that appear only after something is opened are checked too.
    assert all(f"loras.{part}" in printed for part in ("query", "item", "name", "add"))
    assert "MISSING" not in printed
    with Image.open(tmp_path / "seen.png") as image:
        colours = image.convert("RGB").getcolors(image.width * image.height)
    assert {colour: number for number, colour in colours or []}[(214, 40, 40)] > 1000


def test_check_reports_missing_elements(tmp_path: Path, programs: str) -> None:
    """The exit code is 1; the page belongs to another program."""
    shipped = (SHIPPED_RECIPES / "automatic1111.toml").read_text()
    hasty = re.sub(r"(?m)^timeout = \d+", "timeout = 2000", shipped)
    (tmp_path / "hasty.toml").write_text(hasty.replace("open = [{", "open = [{ timeout = 1000,"))
    code, printed = run_sites_command(tmp_path, "check", "hasty", "--url", f"{programs}/fooocus/")

    assert code == 1
    assert "MISSING, tried: #txt2img_generate" in printed


def test_check_accepts_later_alternatives(tmp_path: Path, programs: str) -> None:
    """They are reported and are no error, since no earlier run matched another alternative."""
    code, printed = run_sites_command(tmp_path, "check", "gradio", "--url", f"{programs}/gradio/")
    assert code == 0, printed
    (tmp_path / "gone.toml").write_text((SHIPPED_RECIPES / "gradio.toml").read_text().replace("aria/Generate", "#nope"))
    code, printed = run_sites_command(tmp_path, "check", "gone", "--url", f"{programs}/gradio/")
    assert code == 0, printed
    assert "ok, by a later alternative" in printed
    assert "inputs.sampler.choices_from" in printed


def test_try_prints_every_step_and_writes_the_images(tmp_path: Path, programs: str) -> None:
    """With --trace it also writes a trace."""
    options = ("--url", f"{programs}/gradio/", "--input", "seed=2", "--trace", "trace.zip", "-o", "it.png")
    code, printed = run_sites_command(tmp_path, "try", "gradio", PROMPT, *options)

    assert code == 0, printed
    assert re.search(r"steps\[\d+\] \(change\) aria/Seed", printed)
    assert "left out: not given" in printed
    for number, name in enumerate(("it.png", "it-2.png")):
        with Image.open(io.BytesIO((tmp_path / name).read_bytes())) as image:
            assert is_image_of(image, f"{PROMPT}||2|20|Euler", number)
    with zipfile.ZipFile(tmp_path / "trace.zip") as trace:
        assert trace.namelist()


def test_try_prints_the_sites_message_on_failure(tmp_path: Path, programs: str) -> None:
    """It also prints the error code that a job would end with."""
    code, printed = run_sites_command(tmp_path, "try", "gradio", "forbidden things", "--url", f"{programs}/gradio/")

    assert code == 1
    assert "not allowed here" in printed
    assert "site_refused" in printed


def test_new_copies_a_recipe_with_its_documents(tmp_path: Path) -> None:
    """The copy loads and has its own workflow; existing files are not overwritten."""
    code, printed = run_sites_command(tmp_path, "new", "mine", "--like", "comfyui")
    assert code == 0, printed

    recipe = Recipes("mine", tmp_path).get("mine")
    assert recipe.documents["workflow"].content == json.loads((tmp_path / "mine.workflow.json").read_text())
    assert recipe.validate_inputs({"seed": "7"}) == {"seed": 7}
    assert run_sites_command(tmp_path, "new", "mine", "--like", "comfyui")[0] == 2
    assert run_sites_command(tmp_path, "new", "../mine", "--like", "comfyui")[0] == 2
    assert "There are: automatic1111" in run_sites_command(tmp_path, "new", "other", "--like", "nothing")[1]


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    """A document inside the recipe is copied with it; an existing document file is kept."""
    folder = tmp_path
    assert run_sites_command(tmp_path, "new", "mine", "--like", "comfyui")[0] == 0
    text = (folder / "mine.toml").read_text().replace('file = "mine.workflow.json"', "content = '{\"6\": {}}'")
    head, fields = text.split("[documents.workflow.fields]")
    (folder / "inline.toml").write_text(f"{head}{fields[fields.index('[[steps]]') :]}")
    assert run_sites_command(tmp_path, "new", "copy", "--like", "inline")[0] == 0
    assert Recipes("copy", folder).get("copy").documents["workflow"].content == {"6": {}}

    (folder / "other.workflow.json").write_text("mine")
    code, printed = run_sites_command(tmp_path, "new", "other", "--like", "mine")

    assert (code, (folder / "other.workflow.json").read_text()) == (2, "mine")
    assert "exists" in printed


def test_import_writes_a_draft_of_a_recipe(tmp_path: Path) -> None:
    """It loads as it is, and lists what must be added by hand."""
    (tmp_path / "My Recording.json").write_text(json.dumps(RECORDER))
    code, printed = run_sites_command(tmp_path, "import", "My Recording.json")

    assert code == 0, printed
    assert "To do: observe.done" in printed
    recipe = Recipes("my-recording", tmp_path).get("my-recording")
    assert JobRequest("my-recording", "x", inputs=recipe.validate_inputs({"seed": 1})).inputs == {"seed": 1}
    (tmp_path / "no.json").write_text("nothing")
    assert run_sites_command(tmp_path, "import", "no.json")[0] == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("record", "http://127.0.0.1:9/", "--name", "mine"), "no screen"),
        (("login", "weights"), "no screen"),
        (("try", "studio", PROMPT, "--headed"), "no screen"),
        (("try", "studio", PROMPT, "--input", "seed=red"), "seed"),
        (("new", "mine", "--like", "../studio"), "There is no recipe"),
        (("check", "nowhere"), "no site 'nowhere'"),
        (("login", "weights", "--state", "state.json"), "storage state"),
    ],
)
def test_usage_errors_are_reported_without_a_traceback(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    """The exit code is 2."""
    (tmp_path / "state.json").write_text("{}")
    code, printed = run_sites_command(tmp_path, *args)

    assert code == 2, printed
    assert message in printed
    assert "Traceback" not in printed
