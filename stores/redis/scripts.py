"""Runs the Lua scripts of ``stores/redis/lua``.

Every script gets its arguments by name, as one JSON object, and the shared functions that it needs put before its text:
``shared/time.lua``, ``shared/reading.lua``, for scripts that change jobs also ``shared/records.lua`` with the tables of
allowed transitions and of errors, made from ``schemas``, and for those that begin or end something the rest. What a
script does not need is left out, because running through the definitions takes as long as ten commands.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from redis import Redis

from ops.infra.clock import Clock
from ops.infra.redis import run_script
from schemas.errors import errors_by_code
from schemas.jobs.lifecycle import TRANSITIONS
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import JOB_FIELDS

LUA_FOLDER = Path(__file__).parent / "lua"
# They change no job, and are spared the cost of the functions that do.
SIMPLE_SCRIPTS = (
    "read",
    "dry_run",
    "list_alive",
    "record_heartbeat",
    "pause_site",
    "remaining_pause",
    "reserve_visit",
    "publish_rules",
)
# Of a running job, which they leave running.
RUNNING_SCRIPTS = ("mark_accepted", "record_progress", "renew", "store_images")
MORE_FUNCTIONS = {
    "read": "estimates",
    "dry_run": "estimates",
    "create": "estimates",
    "sweep": "upkeep",
    "repair": "upkeep",
    "expire": "upkeep",
    "requeue_expired": "upkeep",
}
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
        self._test_clock = test_clock
        reading = (TEST_TIME_LUA if test_clock else _shared("time")) + _fields_table() + _shared("reading")
        records = reading + _schema_tables() + _shared("records")
        everything = records + _shared("turns") + _shared("endings")
        self._scripts = {}
        for path in LUA_FOLDER.glob("*.lua"):
            shared = reading if path.stem in SIMPLE_SCRIPTS else everything
            if path.stem in RUNNING_SCRIPTS:
                shared = records
            more = MORE_FUNCTIONS.get(path.stem)
            text = shared + (_shared(more) if more else "") + path.read_text()
            self._scripts[path.stem] = client.register_script(text)

    def run(self, name: str, arguments: Mapping[str, Any], *values: str | int | bytes) -> Any:
        """Run a script and return its answer.

        ``arguments`` are JSON values; those that are None are left out. ``values`` follow it unencoded:
        bytes, which JSON cannot hold, and texts that are only stored.
        A script may run twice, because a call whose answer was lost is repeated.

        Raises:
            Unavailable: Redis does not answer, or has no memory left.
        """
        with redis_errors():
            return run_script(self._client, self._scripts[name], (), (self._encode(arguments), *values))

    def run_many(self, name: str, arguments: Iterable[Mapping[str, Any]]) -> list[Any]:
        """Run a script once for each of ``arguments``, in one round trip, and return its answers; raises as ``run``."""
        script = self._scripts[name]
        with self._client.pipeline(transaction=False) as pipe:
            for each in arguments:
                script(args=(self._encode(each),), client=pipe)
            with redis_errors():
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
