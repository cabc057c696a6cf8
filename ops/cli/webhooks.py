"""The commands about calls to addresses that callers name."""

import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.infra.dns import resolve
from ops.infra.settings import SettingsError, load_settings
from schemas.errors import Invalid
from schemas.http.address_policy import ResolvedHost, evaluate_addresses
from schemas.http.webhook_url import parse_webhook_url, refusal_reason
from stores import build_address_policy

DENIED_EXIT_CODE = 1
WIDTH = 300

# Whole, for programs that read it; as wide as the terminal for people.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


@click.group()
def webhooks() -> None:
    """See what Darkroom would call for a caller, and what not."""


@webhooks.command()
@click.argument("url")
def check(url: str) -> None:
    """Tell whether URL may be called: what its host leads to, by which rule, and which setting would open it."""
    try:
        policy = build_address_policy(load_settings())
        target = parse_webhook_url(url)
        looked = evaluate_addresses(resolve(target.host, target.port), target.port, policy)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        _deny(error.problems[0])
    except OSError as error:
        _deny(f"{target.host} does not resolve: {error.strerror or error}.")
    console.print(_table(looked))
    if reason := refusal_reason(target, looked):
        _deny(reason)
    console.print(f"May be called, at {looked.allowed_addresses[0]} port {target.port}.")


def _table(looked: ResolvedHost) -> Table:
    table = Table(show_edge=False)
    for name in ("address", "rule", "", "opens with"):
        # A setting of which a part is left out opens nothing.
        table.add_column(name, overflow="fold")
    for address, verdict in looked.decisions:
        table.add_row(
            escape(address),
            str(verdict.rule),
            "allowed" if verdict.is_allowed else "denied",
            escape(verdict.allow_setting),
        )
    return table


def _deny(reason: str) -> None:
    console.print(f"May not be called: {reason}", markup=False)
    raise SystemExit(DENIED_EXIT_CODE)
