"""The commands about sites: what runs, recipes as files, looking at pages, logins and terms. ``sites`` is the group."""

import click

from ops.sites.access import accept, forget
from ops.sites.files import import_, new, reference
from ops.sites.pages import check, login, record, try_
from ops.sites.running import close, list_sites, show


@click.group()
def sites() -> None:
    """Show, check, try and write the recipes of sites; sign in to them."""


for one in (list_sites, show, check, try_, new, import_, record, reference, accept, login, forget, close):
    sites.add_command(one)
