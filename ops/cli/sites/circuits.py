"""The commands that show the sites of a running Darkroom and close the circuit breaker of a site."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click

from ops.cli.http_target import open_client, read_response


def _target_options(command: Callable[..., None]) -> Callable[..., None]:
    url = click.option("--url", envvar="DARKROOM_URL", help="Use the Darkroom at this URL.")
    key = click.option("--key", envvar="DARKROOM_KEY", help="API key for it.")
    return url(key(command))


@click.command(name="list")
@_target_options
def list_sites(url: str | None, key: str | None) -> None:
    """Print every site, the state of its circuit breaker, and what its recipe was tested with."""
    with open_client(url, key) as client:
        for site in read_response(client.get("/api/v1/sites"))["sites"]:
            tested = site["tested"]["summary"] if site["tested"] else "not tested"
            click.echo(f"{site['name']:16} {_describe(site['circuit']):8} {tested}")


@click.command()
@click.argument("name")
@_target_options
def show(name: str, url: str | None, key: str | None) -> None:
    """Print the inputs, limits and state of the site NAME as JSON."""
    with open_client(url, key) as client:
        click.echo(json.dumps(read_response(client.get(_path(name))), indent=2))


@click.command()
@click.argument("name")
@_target_options
def close(name: str, url: str | None, key: str | None) -> None:
    """Close the circuit breaker of the site NAME: its queued jobs start again."""
    with open_client(url, key) as client:
        site = read_response(client.post(f"{_path(name)}/circuit/close"))
        click.echo(f"{site['name']:16} {_describe(site['circuit'])}")


def _path(name: str) -> str:
    return f"/api/v1/sites/{quote(name, safe='')}"


def _describe(circuit: dict[str, Any]) -> str:
    if circuit["state"] == "closed":
        return "closed"
    retry_at = datetime.fromtimestamp(circuit["retryAt"] / 1000, UTC)
    return f"open, retried from {retry_at:%H:%M:%S} UTC on: {circuit['error']} ({circuit['code']})"
