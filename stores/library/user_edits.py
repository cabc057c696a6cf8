"""What people write about models: it wins over what anybody else says, stays, and can be taken back."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, delete, select

from ops.infra.clock import Clock
from schemas.errors import NotFound
from stores.library.index.read_model import rebuild_read_model
from stores.library.rows import dump_json, writing
from stores.library.tables import edits, models

MODEL_NOT_FOUND = "Model not found"


class UserEdits:
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
                raise NotFound(MODEL_NOT_FOUND)
            for field, value in values.items():
                connection.execute(delete(edits).where(edits.c.model_id == model_id, edits.c.field == field))
                if value is not None:
                    row = {"model_id": model_id, "field": field, "value": dump_json(value), "edited_at": now}
                    connection.execute(edits.insert().values(**row))
            rebuild_read_model(connection, [model_id])
