"""The group of commands about sites."""

import click

from ops.cli.groups import LazyGroup

COMMANDS = {
    "list": "ops.cli.sites.circuits:list_sites",
    "show": "ops.cli.sites.circuits:show",
    "check": "workers.sites.cli.commands:check",
    "try": "workers.sites.cli.commands:try_",
    "learn": "workers.sites.cli.learn:learn",
    "new": "ops.cli.sites.recipe_files:new",
    "import": "ops.cli.sites.recipe_files:import_",
    "record": "ops.cli.sites.recipe_files:record",
    "reference": "ops.cli.sites.recipe_files:reference",
    "accept": "ops.cli.sites.terms_and_login:accept",
    "login": "workers.sites.cli.commands:login",
    "forget": "ops.cli.sites.terms_and_login:forget",
    "close": "ops.cli.sites.circuits:close",
}


@click.group(cls=LazyGroup, targets=COMMANDS, aliases={})
def sites() -> None:
    """Show sites, write, check and try their recipes, and log in to them."""
