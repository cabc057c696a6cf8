"""The Lua scripts: reads them, puts the shared functions before each, runs them and translates Redis' errors."""

import json
from pathlib import Path
from typing import Any

from redis import Redis

from ops.infra.redis import run_script
from schemas.errors import errors_by_code
from schemas.jobs.lifecycle import TRANSITIONS
from stores.redis.errors import redis_errors
from stores.redis.job_decoding import JOB_FIELDS

LUA_FOLDER = Path(__file__).parent / "lua"
# Scripts that change nothing.
READ_ONLY_SCRIPTS = ("look", "rehearse")


class Scripts:
    """The scripts of ``stores/redis/lua``, by file name."""

    def __init__(self, client: Redis) -> None:
        """Registers every script with ``client``; nothing is sent yet."""
        self._client = client
        reading = _fields() + _shared("reading")
        writing = reading + _tables() + _shared("writing")
        self._scripts = {
            path.stem: client.register_script(
                (reading if path.stem in READ_ONLY_SCRIPTS else writing) + path.read_text()
            )
            for path in LUA_FOLDER.glob("*.lua")
        }

    def run(self, name: str, *args: str | int | bytes) -> Any:
        """What the script answers.

        Raises:
            Unavailable: Redis does not answer, or has no memory left.
        """
        with redis_errors():
            return run_script(self._client, self._scripts[name], (), args)

    def sha(self, name: str) -> str:
        """The script's name on the wire."""
        return str(self._scripts[name].sha)


def _shared(name: str) -> str:
    return (LUA_FOLDER / "shared" / f"{name}.lua").read_text()


def _fields() -> str:
    fields = ", ".join(f"'{name}'" for name in JOB_FIELDS)
    return f"local FIELDS = {{{fields}}}\n"


def _tables() -> str:
    errors = {
        code: {
            "message": error.__doc__,
            "hint": error.hint,
            "retryable": int(error.retryable),
            "verdict": error.site_effect,
        }
        for code, error in errors_by_code().items()
    }
    # Sorted, since the scripts of all processes must have the same text, and with it the same name on the server.
    rows = "".join(
        f"{source}={{{','.join(f'{target}=true' for target in sorted(targets))}}},"
        for source, targets in TRANSITIONS.items()
    )
    return f"local ALLOWED = {{{rows}}}\nlocal ERRORS = [==[{json.dumps(errors)}]==]\n"
