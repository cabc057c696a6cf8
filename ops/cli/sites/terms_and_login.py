"""The commands about a site's terms and its login: accept, forget."""

import click

from ops.infra.clock import SystemClock
from ops.infra.database import migrate, open_database
from ops.infra.settings import Settings, SettingsError, load_settings
from schemas.errors import Invalid
from schemas.sites.recipe import Recipe
from stores.sites.accepted_terms import AcceptedTerms
from stores.sites.credentials import SiteCredentials, load_encryption_key
from stores.sites.recipes import Recipes


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def accept(name: str, yes: bool) -> None:
    """Say that you have read the terms of the site NAME and that they allow what you do."""
    settings, recipe = _find_recipe(name)
    if recipe.consent.ownership == "own":
        click.echo(f"{name} is described as your own page; there are no terms to accept.")
        return
    click.echo(f"The terms of {name}: {recipe.consent.terms_url}")
    if not yes and not click.confirm("Have you read them, and do they allow automated use by you?"):
        raise click.ClickException("Not accepted; nothing of this site is run.")
    migrate(settings.database_url)
    AcceptedTerms(open_database(settings.database_url), SystemClock()).accept(recipe)
    click.echo(f"Accepted; jobs of {name} are taken from now on.")


@click.command()
@click.argument("name")
def forget(name: str) -> None:
    """Forget the login of the site NAME."""
    settings, _ = _find_recipe(name)
    migrate(settings.database_url)
    key = load_encryption_key(settings.data_dir, settings.session_key)
    known = SiteCredentials(open_database(settings.database_url), SystemClock(), key).delete(name)
    click.echo("Forgotten." if known else f"There is no login of {name}.")


def _find_recipe(name: str) -> tuple[Settings, Recipe]:
    try:
        settings = load_settings()
        return settings, Recipes.from_settings(settings).get(name)
    except SettingsError as error:
        raise click.UsageError(str(error)) from error
    except Invalid as error:
        raise click.UsageError(" ".join(error.problems)) from error
