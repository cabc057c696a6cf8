"""The commands that show the sites of a running Darkroom and close the circuit of one."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click
import httpx

from ops.cli.http_target import find_target, read_response
from ops.infra.settings import SettingsError, load_settings


def _target_options(command: Callable[..., None]) -> Callable[..., None]:
    at = click.option("--url", envvar="DARKROOM_URL", help="Ask the Darkroom at this address.")
    key = click.option("--key", envvar="DARKROOM_KEY", help="The key for it.")
    return at(key(command))


@click.command(name="list")
@_target_options
def list_sites(url: str | None, key: str | None) -> None:
    """Print each site and the state of its circuit."""
    with _client(url, key) as client:
        for site in read_response(client.get("/api/v1/sites"))["sites"]:
            click.echo(f"{site['name']:16} {_describe(site['circuit'])}")


@click.command()
@click.argument("name")
@_target_options
def show(name: str, url: str | None, key: str | None) -> None:
    """Print what a running Darkroom knows of the site NAME."""
    with _client(url, key) as client:
        click.echo(json.dumps(read_response(client.get(f"/api/v1/sites/{quote(name, safe='')}")), indent=2))


@click.command()
@click.argument("name")
@_target_options
def close(name: str, url: str | None, key: str | None) -> None:
    """Close the circuit of the site NAME: its waiting jobs start again."""
    with _client(url, key) as client:
        site = read_response(client.post(f"/api/v1/sites/{quote(name, safe='')}/circuit/close"))
        click.echo(f"{site['name']:16} {_describe(site['circuit'])}")


def _describe(circuit: dict[str, Any]) -> str:
    if circuit["state"] == "closed":
        return "closed"
    again = datetime.fromtimestamp(circuit["retryAt"] / 1000, UTC)
    return f"open, tried again from {again:%H:%M:%S} UTC on: {circuit['error']} ({circuit['code']})"


@contextmanager
def _client(url: str | None, key: str | None) -> Iterator[httpx.Client]:
    try:
        target = find_target(load_settings(), url, key)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    if target is None:
        raise click.ClickException("No Darkroom runs here; start one with './darkroom up', or name one with --url.")
    try:
        with target.client() as client:
            yield client
    except httpx.HTTPError as error:
        raise click.ClickException(f"Darkroom does not answer: {error}") from error
