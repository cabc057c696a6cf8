"""Who has said yes to the terms of sites that are not the user's own."""

from sqlalchemy import Engine, delete, insert, select

from ops.infra.clock import Clock
from schemas.errors import Forbidden
from schemas.sites.recipe import Recipe
from stores.sql import tables
from stores.sql.errors import sql_errors


class AcceptedTerms:
    """The consents in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def accept(self, recipe: Recipe) -> None:
        """Somebody has read the terms of the site and accepts them."""
        row = {"site": recipe.name, "terms_url": recipe.consent.terms_url or "", "accepted_at": self._clock.now_ms()}
        with self._engine.begin() as connection:
            connection.execute(delete(tables.accepted_terms).where(tables.accepted_terms.c.site == recipe.name))
            connection.execute(insert(tables.accepted_terms).values(row))

    def is_accepted(self, recipe: Recipe) -> bool:
        """Whether the site may be run: it is the user's own, or its present terms were accepted.

        Raises:
            Unavailable: the database does not answer.
        """
        if recipe.consent.ownership == "own":
            return True
        query = select(tables.accepted_terms.c.terms_url).where(tables.accepted_terms.c.site == recipe.name)
        with sql_errors(), self._engine.connect() as connection:
            accepted = connection.execute(query).scalar_one_or_none()
        return accepted == recipe.consent.terms_url

    def require(self, recipe: Recipe) -> None:
        """Let nothing pass without consent.

        Raises:
            Forbidden: nobody has accepted the site's present terms.
        """
        if not self.is_accepted(recipe):
            raise Forbidden(
                f"Nobody here has accepted the terms of {recipe.name}: read {recipe.consent.terms_url}, then run "
                f"'./darkroom sites accept {recipe.name}'."
            )
