"""What a server says of the limits that several servers share."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stores.shards.division import NO_PART, Part

# In the order of ``look_at_allotments.lua``.
CIRCUIT_FIELDS = ("openedAt", "retryAt", "delay", "failures", "code", "error")
# The open jobs of a server, and of each site the running jobs, nextAt and the day's starts.
ServerState = tuple[int, dict[str, tuple[int, int, int]]]


@dataclass(frozen=True, slots=True)
class SiteLook:
    """What a server says of a site."""

    running: int = 0
    waiting: int = 0
    part: Part = NO_PART
    started: int = 0
    next_at: int = 0
    paused_until: int = 0
    wanted_at: int = 0
    circuit: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether the circuit is open."""
        return "retryAt" in self.circuit


@dataclass(frozen=True, slots=True)
class ServerLook:
    """What a server says of all shared limits; ``now_ms`` is its time."""

    may_divide: bool
    open_jobs: int
    room: int
    now_ms: int
    sites: Mapping[str, SiteLook]

    def state(self) -> ServerState:
        """Return what changes while parts are moved."""
        return self.open_jobs, {name: (site.running, site.next_at, site.started) for name, site in self.sites.items()}


@dataclass(frozen=True, slots=True)
class Lowering:
    """What is left after what is too much has been taken from each server.

    ``parts`` are what the servers in ``answering`` have, ``used`` is what each server uses (room, jobs of each site),
    and ``last`` has nextAt and the day's starts of each site.
    """

    parts: Mapping[int, Mapping[str, Part]]
    used: Mapping[int, tuple[int, Mapping[str, int]]]
    last: dict[str, tuple[int, int]]
    answering: Sequence[int]


@dataclass(slots=True)
class SentParts:
    """The most that a server may have, when that was sent (monotonic), and what ran there when it was seen.

    ``is_concluded``: another process has sent it, and what it can be follows from what the other servers have.
    """

    parts: dict[str, Part] | None
    room: int | None
    at_s: float
    day: int = 0
    running: dict[str, int] = field(default_factory=dict)
    is_concluded: bool = False


def decode_site(row: list[Any]) -> SiteLook:
    """Return what ``look_at_allotments.lua`` has returned of a site."""
    running, waiting, allotment, started, next_at, paused_until, wanted_at, *circuit = row
    permits, _, starts = (allotment or b"0 0").decode().partition(" ")
    fields = {name: value.decode() for name, value in zip(CIRCUIT_FIELDS, circuit, strict=True) if value is not None}
    return SiteLook(
        running=running,
        waiting=int(waiting or 0),
        part=Part(int(permits), starts == "1"),
        started=int(started or 0),
        next_at=int(next_at or 0),
        paused_until=int(paused_until or 0),
        wanted_at=int(wanted_at or 0),
        circuit=fields,
    )


def last_visits(servers: Iterable[Mapping[str, tuple[int, int, int]]]) -> dict[str, tuple[int, int]]:
    """Return nextAt and the day's starts of each site, the larger ones of what the servers have."""
    last: dict[str, tuple[int, int]] = {}
    for sites in servers:
        for name, (_, next_at, started) in sites.items():
            known = last.get(name, (0, 0))
            last[name] = max(known[0], next_at), max(known[1], started)
    return last
