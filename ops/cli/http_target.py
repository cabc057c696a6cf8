"""The Darkroom that a command talks to over HTTP: that of the options, or the one that runs on this data folder."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click
import httpx

from ops.infra.settings import Settings, load_settings
from ops.processes.instance_file import read_instance
from stores.accounts.owner_key import KEY_FILE, OwnerKey

TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Target:
    """A Darkroom's URL and a key for it."""

    url: str
    key: str


def find_target(settings: Settings, url: str | None, key: str | None) -> Target | None:
    """Return the Darkroom at ``url``, or the one that runs on this data folder; None if there is none."""
    if url:
        return Target(url.rstrip("/"), key or _owner_key(settings))
    instance = read_instance(settings.data_dir)
    return Target(instance.url, key or _owner_key(settings)) if instance else None


def _owner_key(settings: Settings) -> str:
    if settings.api_key or (settings.data_dir / KEY_FILE).exists():
        return OwnerKey.from_settings(settings).read()
    raise click.UsageError("There is no owner's key here; pass a key with --key.")


@contextmanager
def open_client(url: str | None, key: str | None) -> Iterator[httpx.Client]:
    """Yield an authenticated client; connection errors inside the block end the command with a message."""
    target = find_target(load_settings(), url, key)
    if target is None:
        raise click.ClickException(
            "No Darkroom is running here; start one with './darkroom up', or name one with --url."
        )
    # A proxy setting in the environment must not apply to this machine.
    is_local = re.match(r"https?://(127\.|localhost|\[::1\])", target.url) is not None
    headers = {"Authorization": f"Bearer {target.key}"}
    try:
        with httpx.Client(base_url=target.url, headers=headers, timeout=TIMEOUT_S, trust_env=not is_local) as client:
            yield client
    except httpx.HTTPError as error:
        raise click.ClickException(f"Darkroom does not answer: {error}") from error


def read_response(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON body; an error response ends the command with the server's message."""
    try:
        body: dict[str, Any] = response.json()
    except ValueError as error:
        raise click.ClickException(
            f"{response.url} does not answer as a Darkroom does (status {response.status_code})."
        ) from error
    if response.is_error:
        problem = body.get("error", {})
        if not isinstance(problem, dict):
            raise click.ClickException(str(problem))
        details = [detail for detail in problem.get("details", []) if isinstance(detail, str)]
        raise click.ClickException(" ".join([problem.get("message", str(problem)), *details]))
    return body
