"""Runs the Lua scripts of ``stores/redis/lua``.

Every script gets its arguments by name, as one JSON object, and the shared definitions that it needs put before its
text: those of ``shared/*.lua``, the broker's function that wakes a consumer, and tables made from ``schemas``:
the fields of the job hash, the allowed transitions and the errors. What a script does not need is left out, because
running through all definitions takes as long as ten commands.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from redis import Redis

from ops.infra.broker.scripts import RING_LUA
from ops.infra.clock import Clock
from ops.infra.redis import run_script
from schemas.errors import errors_by_code
from schemas.jobs.lifecycle import TRANSITIONS
from stores.redis.client import Availability, StoreClient
from stores.redis.job_decoding import JOB_FIELDS

LUA_FOLDER = Path(__file__).parent / "lua"
# In the order in which they use each other.
SHARED_FILES = ("reading", "records", "turns", "endings", "estimates", "upkeep")
# Everything in these files is local to the script: from one such line to the next is one definition.
DEFINITION = re.compile(r"^local (?:function )?(\w+(?:, \w+)*)")
NAME = re.compile(r"[A-Za-z_]\w*")
# Instead of shared/time.lua, for tests.
TEST_TIME_LUA = "local function now_ms() return cjson.decode(ARGV[1]).now end\n"
# Made once, because ``json.dumps`` with an option makes an encoder for every call, and a status is one call.
encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Scripts:
    """The scripts, by file name."""

    def __init__(self, client: Redis, test_clock: Clock | None = None) -> None:
        """Register every script with ``client``; nothing is sent yet.

        The scripts take Redis' own time. Tests pass a clock that they turn instead.
        """
        self._client = client
        self._availability = client.availability if isinstance(client, StoreClient) else Availability()
        self._test_clock = test_clock
        definitions = _shared_definitions(TEST_TIME_LUA if test_clock else _shared("time"))
        self._scripts = {
            path.stem: client.register_script(_with_definitions(path.read_text(), definitions))
            for path in LUA_FOLDER.glob("*.lua")
        }

    def run(self, name: str, arguments: Mapping[str, Any], *values: str | int | bytes) -> Any:
        """Run a script and return its answer.

        ``arguments`` are JSON values; those that are None are left out. ``values`` follow it unencoded:
        bytes, which JSON cannot hold, and texts that are only stored.
        A script may run twice, because a call whose answer was lost is repeated.

        Raises:
            Unavailable: Redis does not answer, or has no memory left.
        """
        with self._availability:
            return run_script(self._client, self._scripts[name], (), (self._encode(arguments), *values))

    def run_many(self, name: str, arguments: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Run a script once for each of ``arguments``, in one round trip, and return its answers; raises as ``run``."""
        script = self._scripts[name]
        with self._client.pipeline(transaction=False) as pipe:
            for each in arguments:
                script(args=(self._encode(each),), client=pipe)
            with self._availability:
                return pipe.execute()

    def _encode(self, arguments: Mapping[str, Any]) -> bytes:
        given = {name: value for name, value in arguments.items() if value is not None}
        if self._test_clock:
            given["now"] = self._test_clock.now_ms()
        # A page may have cut a character in half, and cjson refuses the escape of half a surrogate pair.
        return encode_json(given).encode(errors="replace")

    def sha(self, name: str) -> str:
        """Return the SHA-1 by which Redis knows the script."""
        return str(self._scripts[name].sha)


def _shared(name: str) -> str:
    return (LUA_FOLDER / "shared" / f"{name}.lua").read_text()


@dataclass(frozen=True, slots=True)
class _Definition:
    """A part of the shared text: the names that it defines, its text, and the names that occur in it."""

    names: frozenset[str]
    text: str
    uses: frozenset[str]


@cache
def _shared_definitions(time: str) -> list[_Definition]:
    """Return the shared definitions; each uses only earlier ones."""
    parts = [time, _fields_table(), _schema_tables(), RING_LUA, *map(_shared, SHARED_FILES)]
    starts = [line for part in parts for line in _split_definitions(part)]
    return [_Definition(frozenset(names.split(", ")), text, frozenset(NAME.findall(text))) for names, text in starts]


def _split_definitions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the names and the text of each definition; comments between two of them are left out."""
    names, lines = "", list[str]()
    for line in text.splitlines():
        start = DEFINITION.match(line)
        if start:
            if names:
                yield names, "\n".join(lines)
            names, lines = start[1], []
        if not line.startswith("--"):
            lines.append(line)
    if names:
        yield names, "\n".join(lines)


def _with_definitions(script: str, definitions: Sequence[_Definition]) -> str:
    """Return the script after those definitions that it uses, itself or through others."""
    used, kept = set(NAME.findall(script)), list[str]()
    for definition in reversed(definitions):
        if definition.names & used:
            used |= definition.uses
            kept.append(definition.text)
    return "\n".join([*reversed(kept), script])


def _fields_table() -> str:
    fields = ", ".join(f"'{name}'" for name in JOB_FIELDS)
    return f"local JOB_FIELDS = {{{fields}}}\n"


def _schema_tables() -> str:
    errors = {
        code: {
            "message": error.__doc__,
            "hint": error.hint,
            "retryable": int(error.retryable),
            "site_effect": error.site_effect,
        }
        for code, error in errors_by_code().items()
    }
    # Sorted: all processes must produce the same text, and with it the same SHA-1.
    rows = "".join(
        f"{source}={{{','.join(f'{target}=true' for target in sorted(targets))}}},"
        for source, targets in TRANSITIONS.items()
    )
    return f"local ALLOWED = {{{rows}}}\nlocal ERRORS = [==[{json.dumps(errors)}]==]\n"
