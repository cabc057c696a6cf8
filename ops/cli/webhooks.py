"""The command ``webhooks check``: would Darkroom call a URL, and if not, which setting allows it."""

import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.cli.groups import CommandGroup
from ops.infra.dns import resolve
from ops.infra.settings import load_settings
from schemas.errors import Invalid
from schemas.http.address_policy import ResolvedHost, evaluate_addresses
from schemas.http.webhook_url import parse_webhook_url, refusal_reason
from stores import build_address_policy

DENIED_EXIT_CODE = 1
PIPE_WIDTH = 300

# A pipe gets whole lines; on a terminal, lines wrap at its width.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)


@click.group(cls=CommandGroup)
def webhooks() -> None:
    """Check which URLs may be called on behalf of callers."""


@webhooks.command()
@click.argument("url")
def check(url: str) -> None:
    """Check whether URL may be called; exit code 1 if not.

    Prints the addresses of its host, the rule that applies to each, and the setting that would allow it.
    """
    policy = build_address_policy(load_settings())
    try:
        target = parse_webhook_url(url)
        host = evaluate_addresses(resolve(target.host, target.port), target.port, policy)
    except Invalid as error:
        _deny(error.problems[0])
    except OSError as error:
        _deny(f"{target.host} does not resolve: {error.strerror or error}.")
    console.print(_table(host))
    if reason := refusal_reason(target, host):
        _deny(reason)
    console.print(f"May be called, at {host.allowed_addresses[0]} port {target.port}.")


def _table(host: ResolvedHost) -> Table:
    table = Table(show_edge=False)
    for name in ("address", "rule", "", "opens with"):
        # Folded, not cut off: a truncated setting could not be copied.
        table.add_column(name, overflow="fold")
    for address, decision in host.decisions:
        table.add_row(
            escape(address),
            str(decision.rule),
            "allowed" if decision.is_allowed else "denied",
            escape(decision.allow_setting),
        )
    return table


def _deny(reason: str) -> None:
    console.print(f"May not be called: {reason}", markup=False)
    raise SystemExit(DENIED_EXIT_CODE)
