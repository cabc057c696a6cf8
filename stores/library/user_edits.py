"""What people write about models: it wins over what anybody else says, stays, and can be taken back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, delete, select

from ops.infra.clock import Clock
from schemas.errors import NotFound
from stores.library.index.read_model import refresh
from stores.library.rows import dump, writing
from stores.library.tables import edits, models

NO_MODEL = "Model not found"


class Edits:
    """What is written in one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Nothing is asked yet."""
        self._engine = engine
        self._clock = clock

    def write(self, model_id: int, values: Mapping[str, Any]) -> None:
        """Write these fields, under their names on the wire; None takes back what was written of one.

        Raises:
            NotFound: there is no such model.
        """
        now = self._clock.now_ms()
        with writing(self._engine) as connection:
            if connection.execute(select(models.c.id).where(models.c.id == model_id)).first() is None:
                raise NotFound(NO_MODEL)
            for field, value in values.items():
                connection.execute(delete(edits).where(edits.c.model_id == model_id, edits.c.field == field))
                if value is not None:
                    row = {"model_id": model_id, "field": field, "value": dump(value), "edited_at": now}
                    connection.execute(edits.insert().values(**row))
            refresh(connection, [model_id])
