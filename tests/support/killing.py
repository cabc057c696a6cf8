"""A Darkroom whose processes die: how it is run and mended, what is asked of its jobs, and the trap that kills."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops.testbed import hostile_site, marked_images
from ops.testbed.stack import Stack, kill_tree, run_stack
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.redis.scripts import Scripts
from tests.conftest import eventually

RECOVERY_TIMEOUT_S = 40
ROLES = ("web", "clock", "courier")


@contextmanager
def run_hostile_darkroom(
    *workers: str,
    manners: hostile_site.SiteBehavior | None = None,
    at_once: int = 0,
    pause_s: float = 0.0,
    **environment: str,
) -> Iterator[Stack]:
    """A whole Darkroom of real processes on the hostile site, every connection to Redis through a relay."""
    with (
        hostile_site.running_site(manners or hostile_site.SiteBehavior(1.0, 1.5)) as address,
        tempfile.TemporaryDirectory(prefix="dr-") as name,
    ):
        (Path(name) / "hostile.toml").write_text(
            hostile_site.recipe(address, concurrency=at_once, min_interval_s=pause_s)
        )
        ours = {"SITE": "hostile", "RECIPES_DIR": name, "WORKER_CONCURRENCY": "2", "LOG_LEVEL": "error"}
        with run_stack(*ROLES, *workers, use_relay=True, **(ours | environment)) as running:
            yield running


def eventually_with_restarts(running: Stack, condition: Callable[[], Any], within_s: float = RECOVERY_TIMEOUT_S) -> Any:
    """What ``look`` says once it is true; what dies meanwhile is started again."""

    def mend_and_look() -> Any:
        running.supervisor.restart_dead()
        return condition()

    return eventually(mend_and_look, timeout_s=within_s)


def submit(running: Stack, **more: Any) -> tuple[str, int]:
    """A new job and the number that its picture must carry."""
    nonce = secrets.randbits(32)
    body = {"prompt": "a lighthouse at dusk", "inputs": {"seed": nonce}, **more}
    with running.client() as client:
        return str(client.post("/api/v1/jobs", json=body).json()["id"]), nonce


def await_end(running: Stack, job_id: str) -> Job:
    """The job once it has ended, well or not."""

    def look() -> Job | None:
        job = running.stores.jobs.get(job_id)
        return job if job.state.is_final else None

    found: Job = eventually_with_restarts(running, look)
    return found


def event_types(running: Stack, job_id: str) -> list[str]:
    """The types of the job's events, in order."""
    log: Any = running.redis.xrange(f"dr:{{{job_id}}}:events")
    return [entry[b"type"].decode() for _, entry in log]


def assert_completed_once(running: Stack, job_id: str, nonce: int) -> Job:
    """The job has its own picture and exactly one end."""
    job = await_end(running, job_id)
    assert job.state is JobState.COMPLETED, job.error
    carried = marked_images.read(running.stores.results.get_original(job_id) or b"")
    assert carried
    assert carried[0] == nonce
    assert [kind for kind in event_types(running, job_id) if kind in ("completed", "failed")] == ["completed"]
    return job


class KillOnCommand:
    """Kills a process when it sends a certain command, which is then not executed unless it ``passes``."""

    def __init__(
        self,
        running: Stack,
        name: str,
        words: bytes,
        *,
        when: Callable[[], bool] = lambda: True,
        passes: bool = False,
    ) -> None:
        self.command = words
        self.forward = passes
        self.when = when
        self.pid = running.supervisor.pid(name)
        self.triggered = False
        assert running.relay
        self.relay = running.relay
        self.relay.inspect = self.inspect

    def inspect(self, data: bytes) -> bool:
        """Spring once."""
        if self.triggered or self.command not in data or not self.when():
            return False
        self.triggered = True
        kill_tree(self.pid)
        return not self.forward


def script_sha(running: Stack, name: str) -> bytes:
    """How a script is called on the wire."""
    return Scripts(running.redis).sha(name).encode()
