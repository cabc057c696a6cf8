"""Accepted terms of sites that are not the user's own."""

from sqlalchemy import Engine, delete, insert, select

from ops.infra.clock import Clock
from schemas.errors import Forbidden
from schemas.sites.recipe import Recipe
from stores.sql import tables
from stores.sql.database import Database


class AcceptedTerms:
    """The accepted terms in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._database = Database(engine)
        self._clock = clock

    def accept(self, recipe: Recipe) -> None:
        """Record that the user has read and accepted the site's present terms."""
        row = {"site": recipe.name, "terms_url": recipe.consent.terms_url or "", "accepted_at": self._clock.now_ms()}
        table = tables.accepted_terms
        with self._database.write() as connection:
            connection.execute(delete(table).where(table.c.site == recipe.name))
            connection.execute(insert(table).values(row))

    def is_accepted(self, recipe: Recipe) -> bool:
        """Whether jobs of the site may run: it is the user's own, or its present terms were accepted.

        Raises:
            Unavailable: the database does not answer.
        """
        if recipe.consent.ownership == "own":
            return True
        query = select(tables.accepted_terms.c.terms_url).where(tables.accepted_terms.c.site == recipe.name)
        with self._database.read() as connection:
            accepted_url = connection.execute(query).scalar_one_or_none()
        return accepted_url == recipe.consent.terms_url

    def require(self, recipe: Recipe) -> None:
        """Check that jobs of the site may run.

        Raises:
            Forbidden: the site's present terms have not been accepted.
            Unavailable: the database does not answer.
        """
        if not self.is_accepted(recipe):
            raise Forbidden(
                f"The terms of {recipe.name} have not been accepted: read {recipe.consent.terms_url}, then run "
                f"'./darkroom sites accept {recipe.name}'."
            )
