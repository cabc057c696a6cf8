"""What goes wrong in the chaos: which faults there are, on whom they fall, and the end of those that last."""

import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable

import psutil
from redis import RedisError

from ops.testbed.stack import Stack
from schemas.errors import Unavailable

PAUSES_S = (2.0, 25.0)
REDIS_PAUSES_S = (0.5, 4.0)
EXTRA_WAKEUPS = 20
MEAN_PAUSE_S = 4.0
# Puts some messages into the queue once more, and all of them into another order.
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
    """The faults that befall one stack; the same seed makes the same plan."""

    def __init__(self, stack: Stack, workers: list[str], seed: int) -> None:
        """``workers`` are the names of the worker processes."""
        self._stack = stack
        self._workers = workers
        self._rng = random.Random(seed)
        self._pauses: list[tuple[threading.Timer, psutil.Process]] = []
        self.counts: Counter[str] = Counter()
        self._kinds: dict[str, Callable[[], None]] = {
            "worker killed": self._kill_worker,
            "worker paused": self._pause_worker,
            "worker restarted": self._restart_worker,
            "browser killed": self._kill_browser,
            "renderer killed": self._kill_renderer,
            "driver killed": self._kill_driver,
            "web killed": lambda: self._signal("web", signal.SIGKILL),
            "web restarted": lambda: self._signal("web", signal.SIGTERM),
            "clock killed": lambda: self._signal("clock", signal.SIGKILL),
            "redis killed": lambda: self._signal("redis", signal.SIGKILL),
            "redis paused": self._pause_redis,
            "connections dropped": self._drop_connections,
            "messages shuffled": self._shuffle,
            "messages added": self._add_wakeups,
        }

    def next_delay_s(self) -> float:
        """Seconds until the next fault."""
        return self._rng.expovariate(1 / MEAN_PAUSE_S)

    def inject(self) -> str:
        """Let one fault happen; its name."""
        name = self._rng.choice(list(self._kinds))
        self.counts[name] += 1
        # Who is to be struck may just have gone.
        with contextlib.suppress(psutil.Error, ProcessLookupError, RedisError, Unavailable):
            self._kinds[name]()
        return name

    def resume_all(self) -> None:
        """Let everybody go on."""
        for timer, process in self._pauses:
            timer.cancel()
            _resume(process)

    def _worker(self) -> psutil.Process:
        return psutil.Process(self._stack.supervisor.pid(self._rng.choice(self._workers)))

    def _signal(self, name: str, number: signal.Signals) -> None:
        psutil.Process(self._stack.supervisor.pid(name)).send_signal(number)

    def _pause(self, process: psutil.Process, bounds: tuple[float, float]) -> None:
        process.suspend()
        # A thread of its own: whoever waits for a paused Redis cannot end its pause.
        timer = threading.Timer(self._rng.uniform(*bounds), _resume, [process])
        timer.daemon = True
        timer.start()
        self._pauses.append((timer, process))

    def _kill_worker(self) -> None:
        self._worker().kill()

    def _pause_worker(self) -> None:
        self._pause(self._worker(), PAUSES_S)

    def _restart_worker(self) -> None:
        self._worker().terminate()

    def _kill_browser(self) -> None:
        self._kill_descendant(lambda words: "--darkroom-browser=" in words and "--type=" not in words)

    def _kill_renderer(self) -> None:
        self._kill_descendant(lambda words: "--type=renderer" in words)

    def _kill_driver(self) -> None:
        self._kill_descendant(lambda words: "run-driver" in words)

    def _kill_descendant(self, matches: Callable[[str], bool]) -> None:
        found = [one for one in self._worker().children(recursive=True) if matches(" ".join(one.cmdline()))]
        if found:
            self._rng.choice(found).kill()

    def _pause_redis(self) -> None:
        self._pause(psutil.Process(self._stack.supervisor.pid("redis")), REDIS_PAUSES_S)

    def _drop_connections(self) -> None:
        if self._stack.relay:
            self._stack.relay.drop_connections()

    def _shuffle(self) -> None:
        queue = self._stack.stores.queue
        queue.client.eval(SHUFFLE_LUA, 1, queue.wakeups_key, self._rng.getrandbits(30))

    def _add_wakeups(self) -> None:
        for _ in range(EXTRA_WAKEUPS):
            self._stack.stores.wakeups.publish()


def _resume(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.resume()
