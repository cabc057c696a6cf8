"""The limits that hold over all servers: MAX_QUEUE_SIZE, and the limits, circuits and pauses of sites.

Each server may use its part of a limit without asking the others. One process, the allotter (the clock that holds a
lease in SQL), looks at all servers a few times a second and moves what one does not need to another. A lock on each
server keeps out an allotter whose lease has passed to another one.

- A part of MAX_QUEUE_SIZE stays with its server until the allotter lowers it, also while the server is down: so do its
  jobs.
- A part of a site ends by itself after PART_TTL_S. What a server had that no longer answers is given to the others once
  its part has ended, and the jobs that it may have started have reached their deadline.
- Sites with an interval, a daily limit or an open circuit are visited from one server at a time, which gets the time of
  the last visit and the number of the day's visits with its turn.
"""

import contextlib
import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import structlog

from ops.infra.clock import Clock
from ops.infra.settings import Settings
from schemas.errors import Unavailable
from schemas.sites.recipe import SiteLimits
from stores.redis.keys import ALLOTTER
from stores.redis.scripts import Scripts
from stores.shards.division import (
    NO_PART,
    UNLIMITED_JOBS,
    Part,
    divide_by_need,
    divide_room,
    max_parts,
    raise_within,
)
from stores.shards.looks import Lowering, ServerLook, ServerState, SiteLook, decode_site, last_visits
from stores.shards.lost_servers import DAY_MS, PART_TTL_S, LostServers
from stores.shards.placement import Shards
from stores.shards.site_states import SiteStates
from stores.shards.site_turns import SiteTurns

LOCK_MS = 5_000
ANSWER_TIMEOUT_S = 1.5
RENEW_INTERVAL_S = 5.0
MAX_PAUSE_S = 2.0
R = TypeVar("R")

log = structlog.get_logger(__name__)


class Allotter:
    """Divides the limits among the servers, for as long as it holds the lock."""

    def __init__(
        self,
        servers: Shards[Any],
        settings: Settings,
        *,
        acquire: Callable[[], bool] = lambda: True,
        test_clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``servers`` are the stores (``stores.Stores``) of each server alone.

        ``acquire`` acquires or renews the lease; it may raise Unavailable. ``monotonic`` returns seconds.
        """
        self._acquire = acquire
        self._servers = servers
        self._limit = settings.max_queue_size
        self._deadline_s = settings.job_deadline_s
        self._monotonic = monotonic
        self._scripts = [Scripts(client, test_clock=test_clock) for client in servers.clients]
        self._id = f"{socket.gethostname()[:40]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._forget()
        self._has_turns: set[str] = set()
        self._executors = [ThreadPoolExecutor(1, thread_name_prefix="allotments") for _ in servers.members]
        self._pending: dict[int, Future[Any]] = {}
        self._paused_until_s = 0.0
        self._is_leading = False
        self._is_closed = False

    def close(self) -> None:
        """Let another process take over at once."""
        if self._is_closed:
            return
        self._give_up()
        self._is_closed = True
        for executor in self._executors:
            executor.shutdown(wait=False)

    def divide(self) -> bool:
        """Look at all servers and move parts; return whether this process does so at present."""
        if self._monotonic() < self._paused_until_s:
            return False
        if not self._has_lease():
            self._is_leading = False
            return False
        if not self._is_leading:
            self._forget()
        looks = self._call_each(self._look, range(len(self._servers)))
        if not looks or not all(look.may_divide for look in looks.values()):
            if looks:
                self._give_up()
            return False
        if not self._is_leading:
            log.info("allotments.divided_here", allotter=self._id)
        self._is_leading = True
        self._states.synchronise(looks)
        self._divide(looks)
        return True

    def _forget(self) -> None:
        """Begin without what another process may have changed since."""
        self._lost = LostServers(len(self._servers), self._deadline_s, self._monotonic)
        self._states = SiteStates(self._servers, self._attempt)
        self._turns: dict[str, SiteTurns] = {}

    def _has_lease(self) -> bool:
        try:
            return self._acquire()
        except Unavailable:
            # No other process can get the lease either.
            return self._is_leading

    # Calls

    def _call_each(self, call: Callable[[int], R], numbers: Any) -> dict[int, R]:
        """Return the answers of the servers that answer soon; one that hangs is not asked again before it has."""
        futures: dict[int, Future[R]] = {}
        for number in numbers:
            pending = self._pending.get(number)
            if pending is None or pending.done():
                futures[number] = self._pending[number] = self._executors[number].submit(call, number)
        wait(futures.values(), ANSWER_TIMEOUT_S)
        answers = {}
        for number, future in futures.items():
            if future.done():
                with contextlib.suppress(Unavailable):
                    answers[number] = future.result()
        return answers

    def _give_up(self) -> None:
        """Release the locks, and wait for a random time before the next attempt."""
        self._is_leading = False
        self._paused_until_s = self._monotonic() + random.uniform(0.2, MAX_PAUSE_S)

        def release(number: int) -> None:
            client = self._servers.clients[number]
            if client.get(ALLOTTER) == self._id.encode():
                client.delete(ALLOTTER)

        self._call_each(release, range(len(self._servers)))

    def _look(self, number: int) -> ServerLook:
        stores = self._servers.members[number]
        now_ms = stores.clock.now_ms()
        names = [recipe.name for recipe in stores.recipes.list_all()]
        arguments = {"allotter": self._id, "lock_ms": LOCK_MS, "sites": names, "day": now_ms // DAY_MS}
        may_divide, open_jobs, room, *rows = self._scripts[number].run("look_at_allotments", arguments)
        sites = {name: decode_site(row) for name, row in zip(names, rows, strict=True)}
        return ServerLook(bool(may_divide), open_jobs, int(room or 0), now_ms, sites)

    def _write(
        self,
        number: int,
        parts: Mapping[str, Part],
        room: int | None,
        *,
        last: Mapping[str, tuple[int, int]],
        wake: bool,
    ) -> ServerState | None:
        """Send parts; return what the server has then."""
        sent, at_s, stores = self._lost.sent[number], self._monotonic(), self._servers.members[number]
        now_ms = stores.clock.now_ms()
        before = sent.parts
        # Until the answer is there, the server may have either.
        sent.parts = None if before is None else max_parts(before, parts)
        sent.at_s, sent.day = at_s, now_ms // DAY_MS
        if room is not None and sent.room is not None:
            sent.room = max(sent.room, room)
        rows = [[name, part.permits, int(part.starts), *last.get(name, (0, 0))] for name, part in parts.items()]
        answer = self._scripts[number].run(
            "allot",
            {
                "allotter": self._id,
                "lock_ms": LOCK_MS,
                "until_ms": now_ms + round(PART_TTL_S * 1000),
                "day": now_ms // DAY_MS,
                "sites": rows,
                "room": room,
            },
        )
        if not answer:
            return None
        sent.parts = dict(parts)
        sent.room = room if room is not None else sent.room
        if wake:
            with contextlib.suppress(Unavailable):
                stores.wakeups.top_up()
        open_jobs, *found = answer
        states = {name: (row[0], int(row[1] or 0), int(row[2] or 0)) for name, row in zip(parts, found, strict=True)}
        return open_jobs, states

    def _attempt(self, number: int, call: Callable[[], None]) -> bool:
        return number in self._call_each(lambda _: call(), [number])

    # Parts

    def _divide(self, looks: dict[int, ServerLook]) -> None:
        limits = {
            recipe.name: recipe.limits
            for recipe in self._servers.members[0].recipes.list_all()
            if any(recipe.name in look.sites for look in looks.values())
        }
        self._lost.conclude(limits, looks)
        current = {number: {name: look.sites[name].part for name in look.sites} for number, look in looks.items()}
        targets: dict[int, dict[str, Part]] = {number: {} for number in looks}
        for name, site_limits in limits.items():
            for number, part in self._find_targets(name, site_limits, looks).items():
                targets[number][name] = part
        rooms = self._find_rooms(looks)
        lowered = {
            number: {name: current[number].get(name, NO_PART).lowered_to(part) for name, part in parts.items()}
            for number, parts in targets.items()
        }
        lowering = self._lower(looks, current, lowered, rooms)
        self._raise(looks, targets, rooms, lowering, limits)

    def _find_targets(self, name: str, limits: SiteLimits, looks: Mapping[int, ServerLook]) -> dict[int, Part]:
        """Return what each server should have of a site; nothing of one without limits."""
        views = {number: look.sites.get(name, SiteLook()) for number, look in looks.items()}
        is_open = any(view.is_open for view in views.values())
        has_turns = limits.min_interval_s > 0 or limits.daily > 0 or is_open
        (self._has_turns.add if has_turns else self._has_turns.discard)(name)
        if not has_turns and not limits.concurrency:
            return {}
        turns = self._turns.setdefault(name, SiteTurns(dict.fromkeys(range(len(self._servers)), 0.0)))
        left = limits.concurrency - self._lost.count_jobs(name, limits, looks) if limits.concurrency else UNLIMITED_JOBS
        if not has_turns:
            order = turns.order_by_use(views, self._monotonic())
            needs = {number: view.running + view.waiting for number, view in views.items()}
            return {
                number: Part(permits, starts=True) for number, permits in divide_by_need(left, needs, order).items()
            }
        holder = turns.choose_holder(views, looks, self._monotonic())
        elsewhere = sum(view.running for number, view in views.items() if number != holder)
        held = Part(max(0, min(left - elsewhere, UNLIMITED_JOBS)), starts=True)
        return {number: held if number == holder else NO_PART for number in views}

    def _find_rooms(self, looks: Mapping[int, ServerLook]) -> dict[int, int] | None:
        return divide_room(
            self._limit - self._lost.count_room(self._limit, looks),
            {number: look.open_jobs for number, look in looks.items()},
            {number: look.room for number, look in looks.items()},
        )

    def _lower(
        self,
        looks: Mapping[int, ServerLook],
        current: Mapping[int, Mapping[str, Part]],
        lowered: Mapping[int, Mapping[str, Part]],
        rooms: Mapping[int, int] | None,
    ) -> Lowering:
        """Take from each server what is too much there."""
        room_of = {number: min(look.room, rooms[number]) if rooms else look.room for number, look in looks.items()}
        to_lower = [
            number
            for number, look in looks.items()
            if any(current[number].get(name, NO_PART) != part for name, part in lowered[number].items())
            or room_of[number] < look.room
        ]

        def lower(number: int) -> ServerState | None:
            return self._write(number, lowered[number], room_of[number], last={}, wake=False)

        answers = self._call_each(lower, to_lower)
        states = {number: answers.get(number) or look.state() for number, look in looks.items()}
        answering = [number for number in looks if number not in to_lower or answers.get(number)]
        used = {}
        for number, (open_jobs, sites) in states.items():
            # What has not been confirmed is not lower yet.
            is_sure = number in answering
            parts = lowered[number] if is_sure else current[number]
            room = room_of[number] if is_sure else looks[number].room
            used[number] = (
                max(room, open_jobs),
                {name: max(each.permits, sites[name][0]) for name, each in parts.items()},
            )
            self._lost.record(number, current[number], room, {name: state[0] for name, state in sites.items()})
        return Lowering(lowered, used, last_visits(sites for _, sites in states.values()), answering)

    def _raise(
        self,
        looks: Mapping[int, ServerLook],
        targets: Mapping[int, Mapping[str, Part]],
        rooms: Mapping[int, int] | None,
        lowering: Lowering,
        limits: Mapping[str, SiteLimits],
    ) -> None:
        """Give to each server what the others leave, and renew what it has."""
        parts: dict[int, dict[str, Part]] = {number: dict(lowering.parts[number]) for number in lowering.answering}
        for name, site_limits in limits.items():
            if name in targets[next(iter(looks))]:
                wanted = {number: each[name] for number, each in targets.items()}
                for number, part in self._raise_site(name, site_limits, looks, wanted, lowering).items():
                    parts[number][name] = part
        self._send(parts, lowering, self._raise_rooms(looks, rooms, lowering))

    def _raise_site(
        self,
        name: str,
        limits: SiteLimits,
        looks: Mapping[int, ServerLook],
        targets: Mapping[int, Part],
        lowering: Lowering,
    ) -> dict[int, Part]:
        """Return what each server that answers gets of a site."""
        answering, lowered = lowering.answering, lowering.parts
        jobs = {number: each.get(name, 0) for number, (_, each) in lowering.used.items()}
        # A site without a limit may run as many jobs on each server.
        left = UNLIMITED_JOBS * len(looks)
        if limits.concurrency:
            left = limits.concurrency - self._lost.count_jobs(name, limits, looks)
        raised = raise_within(left, jobs, {number: targets[number].permits for number in answering}, answering)
        has_turn = any(
            (lowered[number][name] if number in answering else looks[number].sites[name].part).starts
            for number in looks
        )
        parts = {}
        for number in answering:
            part = lowered[number][name]
            may_start = part.starts
            if targets[number].starts and not part.starts:
                is_taken = has_turn or self._lost.may_have_turn(name, limits, looks)
                may_start = not (name in self._has_turns and is_taken)
                self._lost.delay_visit(name, limits, looks, lowering.last)
            permits = max(part.permits, jobs[number] + raised[number]) if raised[number] else part.permits
            parts[number] = Part(permits, may_start)
        return parts

    def _raise_rooms(
        self, looks: Mapping[int, ServerLook], rooms: Mapping[int, int] | None, lowering: Lowering
    ) -> dict[int, int | None]:
        answering = lowering.answering
        if rooms is None:
            return dict.fromkeys(answering)
        open_or_free = {number: each for number, (each, _) in lowering.used.items()}
        raised = raise_within(self._limit - self._lost.count_room(self._limit, looks), open_or_free, rooms, answering)
        return {number: open_or_free[number] + raised[number] if raised[number] else None for number in answering}

    def _send(
        self, parts: Mapping[int, Mapping[str, Part]], lowering: Lowering, rooms: Mapping[int, int | None]
    ) -> None:
        lowered, last = lowering.parts, lowering.last

        def is_due(number: int) -> bool:
            has_changed = parts[number] != lowered[number] or rooms[number] is not None
            return has_changed or self._monotonic() - self._lost.sent[number].at_s > RENEW_INTERVAL_S

        def send(number: int) -> Any:
            gains = {name for name, part in parts[number].items() if part != lowered[number][name]}
            carried = {name: last[name] for name in gains if name in last and parts[number][name].starts}
            return self._write(number, parts[number], rooms[number], last=carried, wake=bool(gains))

        self._call_each(send, [number for number in parts if is_due(number)])
