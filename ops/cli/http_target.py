"""The Darkroom that a command calls over HTTP: that of the options, or the one that runs on this data folder."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import httpx

from ops.infra.settings import Settings, load_settings
from ops.processes.instance_file import read_instance
from stores.accounts.owner_key import KEY_FILE, OwnerKey

TIMEOUT_S = 30
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
KEY_NEEDED = (
    "{url} is not the Darkroom that runs on this data folder, so it does not get the owner's key; pass a key with "
    "--key or DARKROOM_KEY."
)


@dataclass(frozen=True, slots=True)
class Target:
    """A Darkroom's URL and a key for it."""

    url: str
    key: str


def find_target(settings: Settings, url: str | None, key: str | None, *, folders: Sequence[Path] = ()) -> Target | None:
    """Return the Darkroom at ``url``, or the one that runs on this data folder; None if there is none.

    ``folders`` are the data folders to look at instead of that of the settings. The owner's key is for the Darkroom
    that runs on one of them: a server elsewhere would learn it.

    Raises:
        UsageError: there is no key for the Darkroom.
    """
    if url and key:
        return Target(url.rstrip("/"), key)
    for folder in folders or (settings.data_dir,):
        instance = read_instance(folder)
        if instance and (not url or _is_same_server(url, instance.url)):
            return Target(instance.url, key or _owner_key(replace(settings, data_dir=folder)))
    if url:
        raise click.UsageError(KEY_NEEDED.format(url=url))
    return None


def _is_same_server(url: str, own_url: str) -> bool:
    try:
        given, own = (httpx.URL(each.strip().rstrip("/")) for each in (url, own_url))
    except httpx.InvalidURL:
        return False
    is_same_host = given.host == own.host or (given.host in LOOPBACK_HOSTS and own.host in LOOPBACK_HOSTS)
    return is_same_host and (given.scheme, given.port, given.path) == (own.scheme, own.port, own.path)


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
            f"{response.url} does not answer like Darkroom (status {response.status_code})."
        ) from error
    if response.is_error:
        problem = body.get("error", {})
        if not isinstance(problem, dict):
            raise click.ClickException(str(problem))
        details = [detail for detail in problem.get("details", []) if isinstance(detail, str)]
        raise click.ClickException(" ".join([problem.get("message", str(problem)), *details]))
    return body
