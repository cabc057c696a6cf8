"""The commands about calls to addresses that callers name."""

import sys

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ops.infra.dns import resolve
from ops.infra.settings import SettingsError, load_settings
from schemas.errors import Invalid
from schemas.http.address_policy import Looked, look_at
from schemas.webhooks.target_url import objection, read_target
from stores import egress_policy

REFUSED_EXIT_CODE = 1
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
        policy = egress_policy(load_settings())
        target = read_target(url)
        looked = look_at(resolve(target.host, target.port), target.port, policy)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        _refuse(error.problems[0])
    except OSError as error:
        _refuse(f"{target.host} does not resolve: {error.strerror or error}.")
    console.print(_table(looked))
    if reason := objection(target, looked):
        _refuse(reason)
    console.print(f"May be called, at {looked.allowed[0]} port {target.port}.")


def _table(looked: Looked) -> Table:
    table = Table(show_edge=False)
    for name in ("address", "rule", "", "opens with"):
        # A setting of which a part is left out opens nothing.
        table.add_column(name, overflow="fold")
    for address, verdict in looked.verdicts:
        table.add_row(
            escape(address), str(verdict.rule), "allowed" if verdict.allowed else "denied", escape(verdict.opens_with)
        )
    return table


def _refuse(reason: str) -> None:
    console.print(f"May not be called: {reason}", markup=False)
    raise SystemExit(REFUSED_EXIT_CODE)
