"""The clients as packages: built, installed from their files, and used against a real server."""

import json
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.pages.client_js import CLIENT_FILE
from ops.infra.settings import ROOT
from tests.conftest import API_KEY
from tests.integration.conftest import IMAGE, AppClient
from tests.support.automatic_worker import AutomaticWorker
from tests.support.node_packages import install_from_registry, npm

PYTHON_PROGRAM = """
import asyncio, sys
from importlib.metadata import version
from darkroom_client import AsyncDarkroom, Darkroom

async def generate(url, key):
    async with AsyncDarkroom(url, key) as darkroom:
        return await darkroom.generate("a quiet lake at dawn")

url, key = sys.argv[1:]
with Darkroom(url, key) as darkroom:
    job = darkroom.submit("a quiet lake at dawn")
    types = [event.type for event in darkroom.events(job.id)]
    print(version("darkroom-client"), types[-1], len(darkroom.download(job.id)))
print(len(asyncio.run(generate(url, key))), [name for name in sys.modules if name == "ops"])
"""
NODE_PROGRAM = """
import { Darkroom, DarkroomError, verifyWebhook } from "darkroom-client";
const [url, key] = process.argv.slice(2);
const darkroom = new Darkroom(url, key);
const types = [];
const picture = await darkroom.generate("a quiet lake at dawn", { onEvent: (event) => types.push(event.type) });
const failure = await darkroom.job("f".repeat(32)).catch((error) => error);
console.log(JSON.stringify([types.at(-1), picture.size, failure instanceof DarkroomError, typeof verifyWebhook]));
"""
TYPED_PROGRAM = """
import { Darkroom, DarkroomError, type Job, type JobEvent } from "darkroom-client";
const darkroom = new Darkroom("http://127.0.0.1:3000", "key");
export async function run(): Promise<Blob> {
  const job: Job = await darkroom.submit("a lake", { inputs: { seed: 7 }, priority: 1 });
  for await (const event of darkroom.events(job.id)) {
    const known: JobEvent = event;
    console.log(known.seq.toFixed(), known.type.toUpperCase());
  }
  if (job.error) throw new DarkroomError(job.error.message, { code: job.error.code });
  const page = await darkroom.gallery.listCollections({ limit: 3 });
  console.log(page);
  return darkroom.download(job.id);
}
// @ts-expect-error A prompt is a text.
void darkroom.submit(7);
// @ts-expect-error There is no such field.
void darkroom.submit("a lake", { colour: "red" });
"""
TSC = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.asynciterable"]
DECLARATIONS = ["--allowJs", "--declaration", "--emitDeclarationOnly", "--strict", "--target", "es2022"]


@pytest.fixture(autouse=True)
def _automatic_worker(app: AppClient) -> Iterator[None]:
    """Run a worker that completes every job."""
    with AutomaticWorker(app.stores):
        yield


def run_program(command: list[str], folder: Path, **environment: str) -> str:
    """Run a program and return its output; it must succeed."""
    done = subprocess.run(
        command, cwd=folder, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True, timeout=90,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_python_package_works_where_it_is_installed(app_url: str, tmp_path: Path) -> None:
    """The wheel has the client with its types and licence, names what it needs, and makes pictures."""
    source = tmp_path / "source"
    # A copy, because building leaves files behind.
    shutil.copytree(ROOT / "ops" / "client", source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run_program(
        [*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], tmp_path, HOME=str(Path.home())
    )
    [wheel] = tmp_path.glob("darkroom_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    modules = {path.name for path in (ROOT / "ops" / "client").glob("*.py")}
    assert {name for name in names if "dist-info" not in name} == {
        f"darkroom_client/{name}" for name in (*modules, "py.typed")
    }
    assert any(name.endswith("licenses/LICENSE") for name in names)
    project = tomllib.loads((ROOT / "ops" / "client" / "pyproject.toml").read_text())["project"]
    assert all(f"Requires-Dist: {name}\n" in metadata for name in project["dependencies"])

    site = tmp_path / "site"
    run_program([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], tmp_path)
    command = [sys.executable, "-c", PYTHON_PROGRAM, app_url, API_KEY]
    printed = run_program(command, tmp_path, PYTHONPATH=str(site))
    assert printed.splitlines() == [f"{project['version']} completed {len(IMAGE.data)}", f"{len(IMAGE.data)} []"]


def test_the_javascript_package_works_where_it_is_installed(app_url: str, tmp_path: Path) -> None:
    """The package has the module that the server serves and its types, makes pictures, and type-checks a program."""
    package = tmp_path / "ops" / "client_js"
    shutil.copytree(ROOT / "ops" / "client_js", package)
    (tmp_path / "api" / "pages" / "static").mkdir(parents=True)
    shutil.copy(CLIENT_FILE, tmp_path / "api" / "pages" / "static")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    packed = npm(package, "pack", "--json")
    assert packed.returncode == 0, packed.stderr
    [described] = json.loads(packed.stdout)
    assert {file["path"] for file in described["files"]} == {
        "client.js", "client.d.ts", "package.json", "README.md", "LICENSE"
    }  # fmt: skip

    program = tmp_path / "program"
    program.mkdir()
    (program / "package.json").write_text('{"type": "module", "private": true}')
    installed = npm(program, "install", "--offline", str(package / described["filename"]))
    assert installed.returncode == 0, installed.stderr
    assert (program / "node_modules" / "darkroom-client" / "client.js").read_bytes() == CLIENT_FILE.read_bytes()
    (program / "main.js").write_text(NODE_PROGRAM)
    printed = json.loads(run_program(["node", "main.js", app_url, API_KEY], program))
    assert printed == ["completed", len(IMAGE.data), True, "function"]

    install_from_registry(program, "typescript@5")
    tsc = ["node", "node_modules/typescript/bin/tsc"]
    (program / "typed.mts").write_text(TYPED_PROGRAM)
    run_program([*tsc, *TSC, "typed.mts"], program)
    run_program([*tsc, *DECLARATIONS, "--outDir", "made", "node_modules/darkroom-client/client.js"], program)
    made = (program / "made" / "client.d.ts").read_text()
    assert made == (ROOT / "ops" / "client_js" / "client.d.ts").read_text(), "Write what tsc makes into client.d.ts."
