"""Clients that are generated from the description pass a type checker, and do the main job."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright._impl._driver import compute_driver_executable

from tests.conftest import API_KEY
from tests.integration.conftest import Deployment, serve_app
from tests.support.node_packages import install_node_packages, run_node
from tests.support.programs.environments import create_environment

SCENARIOS = Path(__file__).parent / "generated"
PACKAGE = "darkroom_generated"
# Media types that the generator does not know by themselves: it treats them as bytes or as text.
CONTENT_TYPES = {
    **dict.fromkeys(
        ("*/*", "image/*", "video/*", "image/png", "image/webp", "application/zip"), "application/octet-stream"
    ),
    "text/event-stream": "text/plain",
}
TYPESCRIPT_OPTIONS = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "target": "ES2022",
    "module": "NodeNext",
    "moduleResolution": "NodeNext",
    "lib": ["ES2022", "DOM", "DOM.Iterable"],
    "types": [],
}
TIMEOUT_S = 240


@pytest.fixture(scope="module")
def served(deployment: Deployment) -> Iterator[str]:
    """The URL of a deployment with a real worker."""
    with serve_app(deployment.app.client.application) as url:
        yield url


@pytest.fixture(scope="module")
def document(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description in a file."""
    path = tmp_path_factory.mktemp("openapi") / "openapi.json"
    path.write_bytes(deployment.app.client.get("/openapi.json").data)
    return path


def run(*command: str | Path, cwd: Path) -> str:
    """Run a program; return what it prints."""
    process = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert process.returncode == 0, (process.stdout + process.stderr)[-4000:]
    return process.stdout + process.stderr


def require_done(report: dict[str, Any]) -> None:
    """The job has ended, its picture has arrived whole, and the error was read."""
    assert report["status"] == "COMPLETED"
    assert report["sizeBytes"] == report["received"] > 1000
    assert report["isListed"]
    assert report["code"] == "invalid"


@pytest.mark.timeout(TIMEOUT_S)
def test_a_python_client(served: str, document: Path, tmp_path: Path) -> None:
    """openapi-python-client generates a package of all operations; mypy accepts it, and it does the main job."""
    python = create_environment("openapi-python-client")
    config = {"package_name_override": PACKAGE, "post_hooks": [], "content_type_overrides": CONTENT_TYPES}
    (tmp_path / "config.json").write_text(json.dumps(config))
    generator = python.with_name("openapi-python-client")
    options = ("--meta", "none", "--output-path", PACKAGE, "--config", "config.json")
    output = run(generator, "generate", "--path", document, *options, cwd=tmp_path)
    assert re.findall(r"WARNING parsing (\w+ [\w/]+)", output) == []
    shutil.copy(SCENARIOS / "scenario.py", tmp_path)
    run(python, "-m", "mypy", "--strict", "scenario.py", PACKAGE, cwd=tmp_path)

    require_done(json.loads(run(python, "scenario.py", served, API_KEY, cwd=tmp_path)))


@pytest.mark.timeout(TIMEOUT_S)
def test_a_typescript_client(served: str, document: Path, tmp_path: Path) -> None:
    """openapi-typescript generates types that tsc accepts; openapi-fetch does the main job with them."""
    modules = install_node_packages("npm-openapi-typescript") / "node_modules"
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": TYPESCRIPT_OPTIONS, "files": ["scenario.ts"]})
    )
    shutil.copy(SCENARIOS / "scenario.ts", tmp_path)
    node = compute_driver_executable()[0]
    generator = modules / "openapi-typescript" / "bin" / "cli.js"
    # A field with a default need not be sent.
    run(node, generator, document, "-o", "darkroom.d.ts", "--default-non-nullable=false", cwd=tmp_path)
    run(node, modules / "typescript" / "lib" / "tsc.js", "--project", ".", cwd=tmp_path)

    report = json.loads(run_node(tmp_path / "scenario.js", served, API_KEY))
    require_done(report)
    assert report["events"][-1] == "completed"
