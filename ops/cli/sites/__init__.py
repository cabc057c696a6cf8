"""The commands about sites: what runs, recipes as files, looking at pages, logins and terms. ``sites`` is the group."""

import click

from ops.cli.sites.circuits import close, list_sites, show
from ops.cli.sites.page_tools import check, login, record, try_
from ops.cli.sites.recipe_files import import_, new, reference
from ops.cli.sites.terms_and_login import accept, forget


@click.group()
def sites() -> None:
    """Show, check, try and write the recipes of sites; sign in to them."""


for one in (list_sites, show, check, try_, new, import_, record, reference, accept, login, forget, close):
    sites.add_command(one)
