"""The commands that accept a site's terms of use and delete its stored credentials."""

import click

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, load_settings
from schemas.sites.recipe import Recipe
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def accept(name: str, yes: bool) -> None:
    """Confirm that you have read the terms of the site NAME and that they allow your use."""
    settings, recipe = _find_recipe(name)
    if recipe.consent.ownership == "own":
        click.echo(f"{name} is your own page according to its recipe; there are no terms to accept.")
        return
    click.echo(f"The terms of {name}: {recipe.consent.terms_url}")
    if not yes and not click.confirm("Have you read them, and do they allow automated use by you?"):
        raise click.ClickException("Not accepted; jobs of this site are refused.")
    migrate(settings.database_url)
    AcceptedTerms(open_database(settings.database_url), SystemClock()).accept(recipe)
    click.echo(f"Accepted; jobs of {name} are taken from now on.")


@click.command()
@click.argument("name")
def forget(name: str) -> None:
    """Delete the stored login of the site NAME."""
    settings, _ = _find_recipe(name)
    migrate(settings.database_url)
    key = load_encryption_key(settings.data_dir, settings.session_key)
    is_deleted = SiteCredentials(open_database(settings.database_url), SystemClock(), key).delete(name)
    click.echo("Forgotten." if is_deleted else f"There is no login of {name}.")


def _find_recipe(name: str) -> tuple[Settings, Recipe]:
    settings = load_settings()
    return settings, Recipes.from_settings(settings).get(name)
