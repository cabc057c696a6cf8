"""The faults that are injected into a running stack."""

import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import httpx
import psutil

from ops.testbed.small_disk import Disk
from ops.testbed.stack import Stack
from schemas.errors import Unavailable
from stores.redis.errors import redis_errors

PAUSES_S = (2.0, 25.0)
REDIS_PAUSES_S = (0.5, 4.0)
FULL_DISK_S = (2.0, 8.0)
CLOCK_OFFSETS_S = (-90.0, 0.0, 90.0)
REQUEST_TIMEOUT_S = 5.0
EXTRA_WAKEUPS = 20
OTHER_ROLES = ("web", "clock", "background")
MEAN_PAUSE_S = 4.0
# Duplicates up to three messages of the queue and reorders all of them.
SHUFFLE_LUA = """
local queue = KEYS[1]
local ids = redis.call('LRANGE', queue, 0, -1)
if #ids == 0 then return 0 end
math.randomseed(tonumber(ARGV[1]))
for i = 1, math.min(3, #ids) do ids[#ids + 1] = ids[i] end
for i = #ids, 2, -1 do
  local j = math.random(i)
  ids[i], ids[j] = ids[j], ids[i]
end
redis.call('DEL', queue)
for i = 1, #ids do redis.call('RPUSH', queue, ids[i]) end
return #ids
"""


class Faults:
    """Random faults for one stack; the same seed gives the same sequence. ``counts`` has them by name."""

    def __init__(self, stack: Stack, workers: list[str], seed: int, disk: Disk, flood_url: str) -> None:
        """``workers`` are the names of the worker processes; a POST to ``flood_url`` makes a page flood its browser."""
        self._stack = stack
        self._workers = workers
        self._rng = random.Random(seed)
        self._disk = disk
        self._flood_url = flood_url
        self._pauses: list[tuple[threading.Timer, Callable[[], None]]] = []
        self.counts: Counter[str] = Counter()
        # Rounds of all kinds in random order, so that a short run has many kinds and a longer one has all of them.
        self._round: list[str] = []
        self._kinds: dict[str, Callable[[], None]] = {
            "worker killed": lambda: self._worker().kill(),
            "worker paused": lambda: self._pause(self._worker(), PAUSES_S),
            "worker restarted": lambda: self._worker().terminate(),
            "worker's group stopped": lambda: self._stop_group(self._worker()),
            "browser killed": lambda: self._kill_descendant(
                lambda command: "--darkroom-browser=" in command and "--type=" not in command
            ),
            "renderer killed": lambda: self._kill_descendant(lambda command: "--type=renderer" in command),
            "driver killed": lambda: self._kill_descendant(lambda command: "run-driver" in command),
            "web killed": lambda: self._process("web").kill(),
            "web restarted": lambda: self._process("web").send_signal(signal.SIGTERM),
            "clock killed": lambda: self._process("clock").kill(),
            "redis killed": self._kill_redis,
            "redis paused": lambda: self._pause(self._process("redis"), REDIS_PAUSES_S),
            "connections dropped": self._drop_connections,
            "messages shuffled": self._shuffle,
            "messages added": self._add_wakeups,
            "clock set": self._set_clock,
            "disk filled": self._fill_disk,
            "page flooded": self._flood_page,
        }
        for name in (*self._workers, *OTHER_ROLES):
            stack.set_clock(name, self._rng.choice(CLOCK_OFFSETS_S))

    def next_delay_s(self) -> float:
        """Return the seconds until the next fault."""
        return self._rng.expovariate(1 / MEAN_PAUSE_S)

    def inject(self) -> str:
        """Inject one fault and return its name."""
        if not self._round:
            self._round = self._rng.sample(list(self._kinds), len(self._kinds))
        name = self._round.pop()
        self.counts[name] += 1
        # The target may just have died of an earlier fault.
        with contextlib.suppress(psutil.Error, ProcessLookupError, Unavailable, httpx.HTTPError):
            self._kinds[name]()
        return name

    def resume_all(self) -> None:
        """Resume every paused process, and make room on the disk."""
        for timer, resume in self._pauses:
            timer.cancel()
            resume()

    def _process(self, name: str) -> psutil.Process:
        return psutil.Process(self._stack.supervisor.pid(name))

    def _worker(self) -> psutil.Process:
        return self._process(self._rng.choice(self._workers))

    def _pause(self, process: psutil.Process, bounds: tuple[float, float]) -> None:
        process.suspend()
        self._resume_later(bounds, partial(_resume, process))

    def _resume_later(self, bounds: tuple[float, float], resume: Callable[[], None]) -> None:
        # On a thread: the main thread may be waiting for the very Redis that is paused.
        timer = threading.Timer(self._rng.uniform(*bounds), resume)
        timer.daemon = True
        timer.start()
        self._pauses.append((timer, resume))

    def _stop_group(self, worker: psutil.Process) -> None:
        """Send SIGTERM to a worker and all its descendants in a random order, as Heroku and systemd do."""
        group = [worker, *worker.children(recursive=True)]
        self._rng.shuffle(group)
        for process in group:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()

    def _kill_redis(self) -> None:
        # A server that dies while its disk is full loses what it acknowledged when the disk became full.
        self._disk.free()
        self._process("redis").kill()

    def _set_clock(self) -> None:
        name = self._rng.choice((*self._workers, *OTHER_ROLES))
        self._stack.set_clock(name, self._rng.choice(CLOCK_OFFSETS_S))

    def _fill_disk(self) -> None:
        self._disk.fill()
        self._resume_later(FULL_DISK_S, self._disk.free)

    def _flood_page(self) -> None:
        httpx.post(self._flood_url, timeout=REQUEST_TIMEOUT_S, trust_env=False)

    def _kill_descendant(self, matches: Callable[[str], bool]) -> None:
        children = self._worker().children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            matching = [process for process in children if matches(" ".join(process.cmdline()))]
            if matching:
                self._rng.choice(matching).kill()

    def _drop_connections(self) -> None:
        if self._stack.relay:
            self._stack.relay.drop_connections()

    def _shuffle(self) -> None:
        queue = self._stack.stores.queue
        with redis_errors():
            queue.client.eval(SHUFFLE_LUA, 1, queue.wakeups_key, self._rng.getrandbits(30))

    def _add_wakeups(self) -> None:
        for _ in range(EXTRA_WAKEUPS):
            self._stack.stores.wakeups.publish()


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()
