"""The commands for developers: ``check``, ``test`` and ``lock``."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from ops.infra.browser_install import find_or_install_browser
from ops.infra.settings import ROOT

BIN = Path(sys.executable).parent
LOCK_TOOL = "uv"
LINTS = (
    ("format", ["ruff", "format", "--check", "."]),
    ("lint", ["ruff", "check", "."]),
    ("types", ["mypy"]),
    ("imports", ["lint-imports", "--no-cache"]),
)
FAST_TESTS = ("tests/unit", "tests/contract")
SLOW_TESTS = ("tests/integration",)
# End-to-end tests of whole deployments run after all others, which would slow them down.
ACCEPTANCE_TESTS = ROOT / "tests" / "acceptance"
# Those that take longest begin first, so that all processes of the run end at about the same time.
LONG_ACCEPTANCE_TESTS = ("test_chaos.py", "test_deaths.py", "test_deliveries.py", "test_benches.py")
MAX_TEST_PROCESSES = 4
# Tests of pages and processes wait about half of the time; whole deployments have processes enough of their own.
PROCESSES_PER_CORE, ACCEPTANCE_PROCESSES_PER_CORE = 2, 1.5


@click.command()
def check() -> None:
    """Run linters, type checks, import rules, unit and contract tests (about a minute)."""
    _run_steps(*LINTS, ("fast tests", [*_parallel_pytest(), *FAST_TESTS]))


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def test(pytest_args: tuple[str, ...]) -> None:
    """Run linters, type checks, import rules and all tests; with arguments, only pytest with these."""
    os.environ["BROWSER"] = str(find_or_install_browser(os.environ.get("BROWSER"), click.echo).path)
    if pytest_args:
        _run_steps(("tests", ["pytest", *pytest_args]))
    else:
        # In this order the many short tests come last and are evenly distributed.
        tests = [*_parallel_pytest(PROCESSES_PER_CORE), "--no-loadscope-reorder", *SLOW_TESTS, *FAST_TESTS]
        acceptance = [*_parallel_pytest(ACCEPTANCE_PROCESSES_PER_CORE), "--no-loadscope-reorder", *_acceptance_files()]
        _run_steps(*LINTS, ("tests", tests), ("acceptance tests", acceptance))


@click.command()
@click.option("--upgrade", is_flag=True, help="Upgrade to the newest versions that pyproject.toml allows.")
def lock(upgrade: bool) -> None:
    """Update the lock files from pyproject.toml: names, versions and hashes, for every platform."""
    options = [
        "--universal",
        "--generate-hashes",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-header",
        "--quiet",
    ]
    options += ["--no-annotate"] + (["--upgrade"] if upgrade else [])
    compile_lock = [LOCK_TOOL, "pip", "compile", "pyproject.toml", "--extra", "server", *options]
    telemetry = ["--extra", "telemetry", "-c", "requirements.txt", "-o", "requirements-telemetry.txt"]
    _run_steps(
        ("runtime lock", [*compile_lock, "-o", "requirements.txt"]),
        ("lock with telemetry", [*compile_lock, *telemetry]),
        ("development lock", [*compile_lock, "--group", "dev", "-c", "requirements.txt", "-o", "requirements-dev.txt"]),
    )


def _parallel_pytest(per_core: float = 1) -> list[str]:
    """Return a pytest command that distributes test files over so many processes for each core."""
    processes = min(round(per_core * (os.cpu_count() or 1)), MAX_TEST_PROCESSES)
    return ["pytest", "-n", str(processes), "--dist", "loadfile"]


def _acceptance_files() -> list[str]:
    others = {file.name for file in ACCEPTANCE_TESTS.glob("test_*.py")}.difference(LONG_ACCEPTANCE_TESTS)
    return [str(ACCEPTANCE_TESTS / name) for name in (*LONG_ACCEPTANCE_TESTS, *sorted(others))]


def _run_steps(*steps: tuple[str, list[str]]) -> None:
    """Run every step, even after a failure; fail at the end if any failed."""
    failed = []
    for name, command in steps:
        started_at = time.monotonic()
        process = subprocess.run([_program(command[0]), *command[1:]], cwd=ROOT, env=_environment(), check=False)
        mark = "failed" if process.returncode else "ok"
        click.echo(f"-- {name}: {mark} ({time.monotonic() - started_at:.1f} s)")
        if process.returncode:
            failed.append(name)
    if failed:
        raise click.ClickException(f"These steps failed; their output is above: {', '.join(failed)}.")


def _program(name: str) -> str:
    return shutil.which(name, path=f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}") or name


def _environment() -> dict[str, str]:
    caches = {"RUFF_CACHE_DIR": "ruff", "MYPY_CACHE_DIR": "mypy"}
    folder = ROOT / ".cache" if os.access(ROOT, os.W_OK) else Path(tempfile.gettempdir()) / "darkroom-cache"
    environment = {**os.environ, **{name: str(folder / part) for name, part in caches.items()}}
    # Tests start Python hundreds of times: without bytecode each of these processes would compile all of our modules.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment
