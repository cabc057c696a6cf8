"""User edits of models: they override every source, survive scans, and can be reverted."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select

from ops.infra.clock import Clock
from schemas.errors import NotFound
from stores.library.index.transaction import index_transaction
from stores.library.rows import dump_json
from stores.library.tables import models, user_edits
from stores.sql.database import Database

MODEL_NOT_FOUND = "Model not found"


class UserEdits:
    """The user edits of all models."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def write(self, model_id: int, values: Mapping[str, Any]) -> None:
        """Set fields of a model, by their JSON names; None reverts a field to the value from its sources.

        Raises:
            NotFound: there is no such model.
        """
        with index_transaction(self._database, self._clock) as transaction:
            if transaction.execute(select(models.c.id).where(models.c.id == model_id)).first() is None:
                raise NotFound(MODEL_NOT_FOUND)
            for field, value in values.items():
                same_field = (user_edits.c.model_id == model_id) & (user_edits.c.field == field)
                transaction.execute(delete(user_edits).where(same_field))
                if value is not None:
                    row = {"field": field, "value": dump_json(value), "edited_at": transaction.now_ms}
                    transaction.execute(user_edits.insert().values(model_id=model_id, **row))
            transaction.mark_changed(model_id)
