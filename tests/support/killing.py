"""A Darkroom of real processes on the hostile site, for tests that kill processes at chosen moments."""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from ops.infra.broker.scripts import ACK_LUA
from ops.infra.redis import connect
from ops.processes.embedded_redis import SOCKET_NAME
from ops.testbed import hostile_site, marked_images
from ops.testbed.stack import Stack, kill_tree, run_stack
from schemas.jobs.job import Job
from schemas.jobs.lifecycle import JobState
from stores.redis.keys import job_key
from stores.redis.scripts import Scripts
from tests.conftest import eventually

RECOVERY_TIMEOUT_S = 90
ROLES = ("web", "clock", "background")


@contextmanager
def run_hostile_darkroom(
    *workers: str,
    behavior: hostile_site.SiteBehavior | None = None,
    concurrency: int = 0,
    min_interval_s: float = 0.0,
    **environment: str,
) -> Iterator[Stack]:
    """Yield a Darkroom on the hostile site whose connections to Redis all go through a relay."""
    with (
        hostile_site.running_site(behavior or hostile_site.SiteBehavior(1.0, 1.5)) as url,
        tempfile.TemporaryDirectory(prefix="dr-") as folder,
    ):
        recipe = hostile_site.recipe(url, concurrency=concurrency, min_interval_s=min_interval_s)
        (Path(folder) / "hostile.toml").write_text(recipe)
        defaults = {"SITE": "hostile", "RECIPES_DIR": folder, "WORKER_CONCURRENCY": "2", "LOG_LEVEL": "error"}
        with run_stack(*ROLES, *workers, use_relay=True, **(defaults | environment)) as stack:
            yield stack


def eventually_with_restarts(stack: Stack, condition: Callable[[], Any], timeout_s: float = RECOVERY_TIMEOUT_S) -> Any:
    """Wait for a true value of ``condition`` and return it; dead processes are restarted meanwhile."""

    def restart_and_check() -> Any:
        stack.supervisor.restart_dead()
        return condition()

    return eventually(restart_and_check, timeout_s=timeout_s)


def submit(stack: Stack, **fields: Any) -> tuple[str, int]:
    """Submit a job; return its id and the number that its image must carry."""
    nonce = secrets.randbits(32)
    body = {"prompt": "a lighthouse at dusk", "inputs": {"seed": nonce}, **fields}
    with stack.client() as client:
        return str(client.post("/api/v1/jobs", json=body).json()["id"]), nonce


def await_end(stack: Stack, job_id: str) -> Job:
    """Wait until a job is completed or failed, and return it."""

    def final_job() -> Job | None:
        job = stack.stores.jobs.get(job_id)
        return job if job.state.is_final else None

    job: Job = eventually_with_restarts(stack, final_job)
    return job


def event_types(stack: Stack, job_id: str) -> list[str]:
    """Return the types of a job's events, in order."""
    log: Any = stack.redis.xrange(job_key(job_id, "events"))
    return [entry[b"type"].decode() for _, entry in log]


def assert_completed_once(stack: Stack, job_id: str, nonce: int) -> Job:
    """Assert that a job ends exactly once, with its own image; return it."""
    job = await_end(stack, job_id)
    assert job.state is JobState.COMPLETED, job.error
    carried = marked_images.read(stack.stores.results.get_original(job_id) or b"")
    assert carried
    assert carried[0] == nonce
    ends = [event_type for event_type in event_types(stack, job_id) if event_type in ("completed", "failed")]
    assert ends == ["completed"]
    return job


def connect_without_relay(stack: Stack) -> Redis:
    """Return a connection that the relay does not see."""
    return connect(f"unix://{stack.settings.data_dir / SOCKET_NAME}?db=0")


class KillOnCommand:
    """Kill a process when it sends a certain Redis command; the command reaches Redis only if ``forward``."""

    def __init__(
        self,
        stack: Stack,
        name: str,
        command: bytes,
        *,
        when: Callable[[], bool] = lambda: True,
        forward: bool = False,
    ) -> None:
        self.command = command
        self.forward = forward
        self.when = when
        self.pid = stack.supervisor.pid(name)
        self.triggered = False
        assert stack.relay
        self.relay = stack.relay
        self.relay.inspect = self.inspect

    def inspect(self, data: bytes) -> bool:
        """Kill the process at the first match; return whether the relay cuts the connection."""
        if self.triggered or self.command not in data or not self.when():
            return False
        self.triggered = True
        kill_tree(self.pid)
        return not self.forward


def script_sha(stack: Stack, name: str) -> bytes:
    """Return the SHA-1 by which a Lua script is called."""
    return Scripts(stack.redis).sha(name).encode()


def ack_sha(stack: Stack) -> bytes:
    """Return the SHA-1 by which the broker's acknowledgement of a message is called."""
    return str(stack.redis.register_script(ACK_LUA).sha).encode()
