"""Regular expressions of recipes, matched against texts of pages.

Both come from outside, and Python's ``re`` takes exponential time for some patterns while it holds the GIL, which would
stop all jobs of a worker. RE2 takes linear time. It has no lookaround and no backreferences.
"""

from functools import lru_cache
from typing import Any, cast

import re2

MAX_PATTERN_MEMORY_BYTES = 1024 * 1024


class PatternError(ValueError):
    """A text is not a regular expression of RE2; ``args[0]`` says why."""


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Any:
    """Return a pattern whose ``search`` returns a match as Python's ``re`` does.

    Raises:
        PatternError: RE2 does not accept the pattern.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_PATTERN_MEMORY_BYTES
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        # The message is bytes, and quotes the pattern.
        reason = error.args[0]
        raise PatternError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from error


def find_text(pattern: str, text: str) -> str | None:
    """Return the part of ``text`` that matches: the first group if it took part, else the whole; None without one."""
    match = compile_pattern(pattern).search(text)
    if match is None:
        return None
    return cast(str, match[1] if match.groups() and match[1] else match[0])
