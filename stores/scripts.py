"""Owns the Lua scripts: reads them, puts the shared prelude before each, runs them and translates Redis' errors.

Used by the stores that change a job in one step.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from redis import Redis

from ops.redis import run_script
from schemas.errors import Unavailable, every_error
from schemas.lifecycle import TRANSITIONS
from stores.records import FIELDS

FOLDER = Path(__file__).parent / "lua"
RETRY_AFTER_S = 2


class Scripts:
    """The scripts of ``stores/lua``, by file name."""

    def __init__(self, client: Redis) -> None:
        """Registers every script with ``client``; nothing is sent yet."""
        prelude = _tables() + (FOLDER / "prelude.lua").read_text()
        self._client = client
        self._scripts = {
            path.stem: client.register_script(prelude + path.read_text())
            for path in FOLDER.glob("*.lua")
            if path.stem != "prelude"
        }

    def run(self, name: str, *args: str | int | bytes) -> Any:
        """What the script answers.

        Raises:
            Unavailable: Redis does not answer, or has no memory left.
        """
        with redis_errors():
            return run_script(self._client, self._scripts[name], (), args)


@contextmanager
def redis_errors() -> Iterator[None]:
    """Translate what Redis throws when it cannot serve; anything else is a bug of ours and passes."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise Unavailable("Redis is full and stores nothing more.", retry_after_s=RETRY_AFTER_S) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise Unavailable("Redis does not answer.", retry_after_s=RETRY_AFTER_S) from error


def _tables() -> str:
    errors = {
        error.code: {"message": error.__doc__, "hint": error.hint, "retryable": int(error.retryable)}
        for error in every_error()
    }
    rows = "".join(
        f"{source}={{{','.join(f'{target}=true' for target in targets)}}}," for source, targets in TRANSITIONS.items()
    )
    fields = ", ".join(f"'{name}'" for name in FIELDS)
    return f"local FIELDS = {{{fields}}}\nlocal ALLOWED = {{{rows}}}\nlocal ERRORS = [==[{json.dumps(errors)}]==]\n"
