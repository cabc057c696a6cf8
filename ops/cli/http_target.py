"""How a command finds the Darkroom that it talks to, and how it reads its answers."""

import re
from dataclasses import dataclass
from typing import Any

import click
import httpx

from ops.infra.settings import Settings, SettingsError
from ops.processes.instance_file import read_instance
from stores.accounts.owner_key import KEY_FILE, OwnerKey

LONG_POLL_S = 20


@dataclass(frozen=True, slots=True)
class Target:
    """A Darkroom and the key for it."""

    url: str
    key: str

    def client(self) -> httpx.Client:
        """A client that carries the key."""
        local = re.match(r"https?://(127\.|localhost|\[::1\])", self.url) is not None
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LONG_POLL_S + 10, trust_env=not local)


def find_target(settings: Settings, url: str | None, key: str | None) -> Target | None:
    """The Darkroom that the options name, or the one that runs on this data folder."""
    if url:
        return Target(url.rstrip("/"), key or _owner_key(settings))
    note = read_instance(settings.data_dir)
    return Target(note.url, key or _owner_key(settings)) if note else None


def _owner_key(settings: Settings) -> str:
    if settings.api_key or (settings.data_dir / KEY_FILE).exists():
        try:
            return OwnerKey.from_settings(settings).read()
        except SettingsError as error:
            raise click.UsageError(str(error)) from error
    raise click.UsageError("Say with --key which key to use.")


def read_response(response: httpx.Response) -> dict[str, Any]:
    """The body, or the error's own words and an exit code that says whose fault it is."""
    try:
        body: dict[str, Any] = response.json()
    except ValueError as error:
        raise click.ClickException(
            f"{response.url} does not answer as a Darkroom does (status {response.status_code})."
        ) from error
    if response.is_error:
        about = body.get("error", {})
        words = about.get("message", str(about)) if isinstance(about, dict) else str(about)
        details = about.get("details", []) if isinstance(about, dict) else []
        raise click.ClickException(" ".join([words, *(one for one in details if isinstance(one, str))]))
    return body
