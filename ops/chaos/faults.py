"""The faults that are injected into a running stack."""

import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable

import psutil

from ops.testbed.stack import Stack
from schemas.errors import Unavailable
from stores.redis.errors import redis_errors

PAUSES_S = (2.0, 25.0)
REDIS_PAUSES_S = (0.5, 4.0)
EXTRA_WAKEUPS = 20
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

    def __init__(self, stack: Stack, workers: list[str], seed: int) -> None:
        """``workers`` are the names of the worker processes."""
        self._stack = stack
        self._workers = workers
        self._rng = random.Random(seed)
        self._pauses: list[tuple[threading.Timer, psutil.Process]] = []
        self.counts: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], None]] = {
            "worker killed": lambda: self._worker().kill(),
            "worker paused": lambda: self._pause(self._worker(), PAUSES_S),
            "worker restarted": lambda: self._worker().terminate(),
            "browser killed": lambda: self._kill_descendant(
                lambda command: "--darkroom-browser=" in command and "--type=" not in command
            ),
            "renderer killed": lambda: self._kill_descendant(lambda command: "--type=renderer" in command),
            "driver killed": lambda: self._kill_descendant(lambda command: "run-driver" in command),
            "web killed": lambda: self._process("web").kill(),
            "web restarted": lambda: self._process("web").send_signal(signal.SIGTERM),
            "clock killed": lambda: self._process("clock").kill(),
            "redis killed": lambda: self._process("redis").kill(),
            "redis paused": lambda: self._pause(self._process("redis"), REDIS_PAUSES_S),
            "connections dropped": self._drop_connections,
            "messages shuffled": self._shuffle,
            "messages added": self._add_wakeups,
        }

    def next_delay_s(self) -> float:
        """Return the seconds until the next fault."""
        return self._rng.expovariate(1 / MEAN_PAUSE_S)

    def inject(self) -> str:
        """Inject one fault and return its name."""
        name = self._rng.choice(list(self._kinds))
        self.counts[name] += 1
        # The target may just have died of an earlier fault.
        with contextlib.suppress(psutil.Error, ProcessLookupError, Unavailable):
            self._kinds[name]()
        return name

    def resume_all(self) -> None:
        """Resume every paused process."""
        for timer, process in self._pauses:
            timer.cancel()
            _resume(process)

    def _process(self, name: str) -> psutil.Process:
        return psutil.Process(self._stack.supervisor.pid(name))

    def _worker(self) -> psutil.Process:
        return self._process(self._rng.choice(self._workers))

    def _pause(self, process: psutil.Process, bounds: tuple[float, float]) -> None:
        process.suspend()
        # On a thread: the main thread may be waiting for the very Redis that is paused.
        timer = threading.Timer(self._rng.uniform(*bounds), _resume, [process])
        timer.daemon = True
        timer.start()
        self._pauses.append((timer, process))

    def _kill_descendant(self, matches: Callable[[str], bool]) -> None:
        children = self._worker().children(recursive=True)
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
