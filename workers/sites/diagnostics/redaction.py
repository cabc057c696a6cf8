"""Removes text that looks like a password, a cookie or a token from texts of a page.

Texts come from the page and are untrusted. Every pattern takes linear time, because Python's ``re`` holds the GIL: a
slow pattern would stall all jobs of the worker. Long texts are redacted in a process of their own, with a time limit:
this file, run as a program, redacts its standard input. It imports the standard library only, so that it starts fast.
"""

import asyncio
import contextlib
import re
import sys
from urllib.parse import urlsplit

REDACTED = "[redacted]"
PROCESS_TIMEOUT_S = 10.0
SENSITIVE_NAME = (
    r"(?:api[-_]?key|access[-_]?token|auth|authorization|bearer|cookie|csrf|jwt|passw(?:or)?d|secret|session|sid|token)"
)
SECRET_ATTRIBUTE = rf"""(?:{SENSITIVE_NAME}|type=["']?(?:hidden|password))"""
ATTRIBUTE_VALUE = r"""("[^"]*"|'[^']*'|[^\s>]+)"""
SECRET_PATTERNS = (
    # name=value and "name": "value"
    (
        re.compile(rf"""(?i)({SENSITIVE_NAME}[\w-]{{0,40}}["']?\s{{0,4}}[:=]\s{{0,4}}["']?)([^"'\s&;,<>]+)"""),
        rf"\1{REDACTED}",
    ),
    # <input type=hidden|password value=…>, <meta name="csrf…" content=…>
    (
        re.compile(
            rf"(?i)(<(?:input|meta)\b[^<>]{{0,400}}{SECRET_ATTRIBUTE}[^<>]{{0,400}}?\b(?:value|content)=){ATTRIBUTE_VALUE}"
        ),
        rf'\1"{REDACTED}"',
    ),
)
# The characters of JSON Web Tokens. The lookbehind lets a match begin at the start of a run only, so that each run is
# scanned once.
TOKEN_RUN = re.compile(r"(?<![\w.-])[\w.-]+")
TOKEN_START = "eyJ"  # noqa: S105 - base64 of '{"', with which the header of a token begins


def redact(text: str) -> str:
    """Replace everything in ``text`` that looks like a password, a cookie or a token."""
    for pattern, replacement in SECRET_PATTERNS:
        text = pattern.sub(replacement, text)
    return TOKEN_RUN.sub(_redact_token, text)


def _redact_token(run: re.Match[str]) -> str:
    before, start, token = run[0].partition(TOKEN_START)
    return before + REDACTED if start and token.count(".") >= 2 else run[0]


def redact_url(url: str) -> str:
    """Return a URL without user, password, fragment and secret parameters; of data: and blob: URLs only the scheme."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(invalid URL)"
    if parts.scheme in ("data", "blob"):
        return f"{parts.scheme}:…"
    host = parts.netloc.rpartition("@")[2]
    return redact(parts._replace(netloc=host, fragment="").geturl())


async def redact_in_process(text: str) -> str | None:
    """Redact a long text in a process of its own; None if that does not end within ``PROCESS_TIMEOUT_S``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", __file__), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(PROCESS_TIMEOUT_S):
            redacted, _ = await process.communicate(text.encode(errors="replace"))
        return redacted.decode() if process.returncode == 0 else None
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


if __name__ == "__main__":
    sys.stdout.buffer.write(redact(sys.stdin.buffer.read().decode()).encode())
