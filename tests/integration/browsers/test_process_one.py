"""Processes of Darkroom as process 1 of a container without an init."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ops.infra.settings import ROOT, Settings
from ops.processes.web_command import free_port
from stores import Stores, open_stores
from tests.conftest import eventually
from tests.integration.conftest import process_environment

AS_ROOT = () if os.geteuid() == 0 else ("--user", "--map-root-user")
NAMESPACE = ["unshare", *AS_ROOT, "--pid", "--fork", "--mount-proc"]
PR_SET_CHILD_SUBREAPER = 36
# Starts a process whose child outlives it, and prints the pid of that child.
UNTIL_SIGTERM = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done"
LEAVE_ORPHAN = "import subprocess; print(subprocess.Popen(['sleep', '0.1']).pid)"


def can_unshare() -> bool:
    """Whether this machine allows a namespace of processes."""
    return bool(shutil.which("unshare")) and subprocess.run([*NAMESPACE, "true"], check=False).returncode == 0


in_namespace = pytest.mark.skipif(not can_unshare(), reason="no namespaces of processes here")


@contextmanager
def run_as_process_one(*command: str, environment: dict[str, str], log: Path) -> Iterator[psutil.Process]:
    """Run a command as process 1 of a namespace of its own; yield that process."""
    with log.open("ab") as out:
        outer = subprocess.Popen([*NAMESPACE, *command], cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        yield eventually(lambda: next(iter(psutil.Process(outer.pid).children()), None))
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(outer.pid).children():
                process.kill()
        outer.wait()


def find_zombies(root: psutil.Process) -> list[psutil.Process]:
    """Return the descendants that are dead and not reaped."""
    zombies = []
    for process in root.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            zombies += [process] if process.status() == psutil.STATUS_ZOMBIE else []
    return zombies


def is_running(process: psutil.Process, name: str) -> bool:
    """Whether a process runs that program."""
    try:
        return name in process.name() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_browser(root: psutil.Process) -> psutil.Process | None:
    """Return the main process of a worker's browser."""
    for process in root.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if "--darkroom-browser=" in command and "--type=" not in command:
                return process
    return None


@in_namespace
@pytest.mark.parametrize("module", ["ops", "workers.main"])
def test_a_worker_as_process_one_leaves_no_zombies(settings: Settings, tmp_path: Path, module: str) -> None:
    """The helpers of dead browsers are reaped; the worker replaces its browsers, and stops in order on SIGTERM."""
    stores, log = open_stores(settings), tmp_path / "worker.log"
    command = [sys.executable, "-m", module, "worker"]
    with run_as_process_one(*command, environment=process_environment(settings, {}), log=log) as init:
        helpers = 0
        for _ in range(3):
            eventually(lambda: is_ready(stores))
            browser = eventually(lambda: find_browser(init))
            helpers += len(browser.children(recursive=True))
            browser.kill()
            eventually(lambda dead=browser: not dead.is_running())
        eventually(lambda: is_ready(stores))
        assert helpers > 3
        eventually(lambda: not find_zombies(init))

        init.send_signal(signal.SIGTERM)
        eventually(lambda: not is_running(init, ""))
    stores.close()
    assert '"process.stopped"' in log.read_text()


def is_ready(stores: Stores) -> bool:
    """Whether a worker is ready."""
    return any(worker.ready for worker in stores.workers.list_alive())


@in_namespace
@pytest.mark.parametrize("role", ["clock", "background", "web"])
def test_every_process_reaps_orphans(settings: Settings, tmp_path: Path, role: str) -> None:
    """An orphan that is left to it disappears."""
    environment = process_environment(settings, {}) | {"PORT": str(free_port())}
    command = ["sh", "-c", f"sh -c 'sleep 0.3 & exit 0'; exec {sys.executable} -m ops {role}"]
    with run_as_process_one(*command, environment=environment, log=tmp_path / f"{role}.log") as init:
        eventually(lambda: any(is_running(child, "python") for child in init.children()))
        eventually(lambda: not any(is_running(child, "sleep") for child in init.children()))
        eventually(lambda: not find_zombies(init))


@pytest.mark.parametrize(
    ("ending", "exit_code"), [("echo ready; exit 7", 7), ("echo ready; kill -9 $$", 137), (UNTIL_SIGTERM, 5)]
)
def test_the_exit_code_of_the_child_is_passed_on(ending: str, exit_code: int) -> None:
    """Orphans are reaped meanwhile without disturbing the child, whose own children keep their exit codes too."""
    script = f"""
import ctypes, os, subprocess, sys
from ops.processes.init_process import start_child
assert ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0) == 0
start_child()
for _ in range(20):
    orphan = int(subprocess.run([sys.executable, "-c", {LEAVE_ORPHAN!r}], stdout=subprocess.PIPE).stdout)
    assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
while os.path.exists(f"/proc/{{orphan}}"): pass
os.execvp("sh", ["sh", "-c", {ending!r}])
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        if ending == UNTIL_SIGTERM:
            process.terminate()
        assert process.wait(60) == exit_code
